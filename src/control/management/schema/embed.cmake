# SPDX-License-Identifier: BSD-2-Clause
#
# cmake -DOUTPUT=FILE.cpp -DFOLDER=FOLDER -P embed.cmake: writes the JSON files of FOLDER into a C++ file.
file(GLOB files ${FOLDER}/*.json)
list(SORT files)
list(LENGTH files count)
set(text "// Made by embed.cmake.\n#include <array>\n\n#include \"control/management/schema/schema.h\"\n\n")
string(APPEND text "namespace portolan::management::detail {\n\n")
string(APPEND text "auto schema_files() -> std::span<const std::pair<std::string_view, std::string_view>> {\n")
string(APPEND text "  static constexpr std::array<std::pair<std::string_view, std::string_view>, ${count}> files{{\n")
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME)
  file(READ ${file} content)
  string(APPEND text "{\"${name}\", R\"json(${content})json\"},\n")
endforeach()
string(APPEND text "}};\n  return files;\n}\n\n}  // namespace portolan::management::detail\n")
file(WRITE ${OUTPUT} "${text}")
