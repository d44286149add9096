# SPDX-License-Identifier: BSD-2-Clause
#
# cmake -DOUTPUT=FILE.cpp -DFILES=FOLDER/*.SUFFIX -DHEADER=HEADER -DFUNCTION=NAMESPACE::NAME -P embed.cmake: writes FUNCTION,
# which HEADER declares and which gives names (without suffix) and texts of FILES, by name. portolan_embed() runs it.
file(GLOB files ${FILES})
list(SORT files)
list(LENGTH files count)
set(text "// Made by embed.cmake.\n#include <array>\n\n#include \"${HEADER}\"\n\n")
string(APPEND text "auto ${FUNCTION}() -> std::span<const std::pair<std::string_view, std::string_view>> {\n")
string(APPEND text "  static constexpr std::array<std::pair<std::string_view, std::string_view>, ${count}> all{{\n")
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} content)
  string(APPEND text "{\"${name}\", R\"embedded(${content})embedded\"},\n")
endforeach()
string(APPEND text "}};\n  return all;\n}\n")
file(WRITE ${OUTPUT} "${text}")
