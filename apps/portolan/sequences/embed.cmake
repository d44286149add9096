# SPDX-License-Identifier: BSD-2-Clause
#
# cmake -DOUTPUT=FILE.cpp -DFOLDER=FOLDER -P embed.cmake: writes the sequences of FOLDER into a C++ file.
file(GLOB files ${FOLDER}/*.toml)
list(SORT files)
list(LENGTH files count)
set(text "// Made by embed.cmake.\n#include <array>\n\n#include \"portolan/sequence.h\"\n\nnamespace portolan {\n\n")
string(APPEND text "auto built_in_sequences() -> std::span<const std::pair<std::string_view, std::string_view>> {\n")
string(APPEND text "  static constexpr std::array<std::pair<std::string_view, std::string_view>, ${count}> all{{\n")
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} content)
  string(APPEND text "{\"${name}\", R\"toml(${content})toml\"},\n")
endforeach()
string(APPEND text "}};\n  return all;\n}\n\n}  // namespace portolan\n")
file(WRITE ${OUTPUT} "${text}")
