# SPDX-License-Identifier: BSD-2-Clause
# Target helpers: every folder under src/ is one static library named like the folder, with its unit
# tests beside the code. Flags live in one INTERFACE target, portolan_flags.

find_program(PORTOLAN_CCACHE ccache)
if(PORTOLAN_CCACHE)
  # What ccache asks for where headers are precompiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${PORTOLAN_CCACHE})
endif()

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(portolan_flags INTERFACE)
target_include_directories(portolan_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(portolan_flags INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align -Wunused -Wdouble-promotion -Wformat=2
  -Wimplicit-fallthrough -fstack-protector-strong)
target_compile_definitions(portolan_flags INTERFACE $<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(portolan_flags INTERFACE -Wduplicated-cond -Wlogical-op)
else()
  # libstdc++ 12's stable_sort calls a function that it calls deprecated itself.
  target_compile_options(portolan_flags INTERFACE -Wno-deprecated-declarations)
endif()
if(PORTOLAN_SANITIZERS)
  target_compile_options(portolan_flags INTERFACE
    -fsanitize=${PORTOLAN_SANITIZERS} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(portolan_flags INTERFACE -fsanitize=${PORTOLAN_SANITIZERS})
  # GCC warns falsely through sanitizer instrumentation (gcc.gnu.org PR 105562, 105329).
  target_compile_options(portolan_flags INTERFACE
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow>)
endif()
if(PORTOLAN_FUZZ)
  # No fuzzer looks into tests.
  target_compile_options(portolan_flags INTERFACE
    $<$<NOT:$<BOOL:$<TARGET_PROPERTY:PORTOLAN_UNFUZZED>>>:-fsanitize=fuzzer-no-link>)
endif()

# The headers that nearly every file reads, compiled once for each kind of target: a sixth of the time of a build from
# nothing. Without it each file still has to include what it uses: the dev preset sees to that.
option(PORTOLAN_PRECOMPILE "Precompile the headers that nearly every file reads" OFF)
# Without what this builds clang-tidy can't read the other files.
add_custom_target(tidy_needs)

# portolan_embed(SOURCE PATTERN HEADER FUNCTION): sets SOURCE to a C++ file, made when it is built, with the files of
# PATTERN in this folder: FUNCTION, which HEADER declares, gives their names without suffix, and their texts.
function(portolan_embed SOURCE PATTERN HEADER FUNCTION)
  set(script ${PROJECT_SOURCE_DIR}/cmake/embed.cmake)
  set(pattern ${CMAKE_CURRENT_SOURCE_DIR}/${PATTERN})
  file(GLOB files CONFIGURE_DEPENDS ${pattern})
  string(REGEX REPLACE ".*::" "" name ${FUNCTION})
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DOUTPUT=${output} -DFILES=${pattern} -DHEADER=${HEADER} -DFUNCTION=${FUNCTION} -P ${script}
    DEPENDS ${files} ${script}
    VERBATIM)
  set(${SOURCE} ${output} PARENT_SCOPE)
endfunction()

# portolan_kind(TARGET KIND): how TARGET is compiled. KIND is
#   engine    as the preset says: packets and mappings go through it; all of a daemon, because of an inline function that
#             several files have the linker takes any
#   program   options, settings, reports: where sanitizers make optimising slow, it is not optimised
#   test      like program, and seen by no fuzzer
function(portolan_kind TARGET KIND)
  portolan_kind_flags(${TARGET} ${KIND})
  if(PORTOLAN_PRECOMPILE)
    portolan_precompile(${KIND})
    target_precompile_headers(${TARGET} REUSE_FROM portolan_precompiled_${KIND})
  endif()
endfunction()

function(portolan_kind_flags TARGET KIND)
  if(PORTOLAN_SANITIZERS AND NOT KIND STREQUAL engine)
    target_compile_options(${TARGET} PRIVATE -O0)
  endif()
  if(KIND STREQUAL test)
    set_target_properties(${TARGET} PROPERTIES PORTOLAN_UNFUZZED ON)
  endif()
endfunction()

function(portolan_precompile KIND)
  set(precompiled portolan_precompiled_${KIND})
  if(TARGET ${precompiled})
    return()
  endif()
  set(source ${CMAKE_BINARY_DIR}/${precompiled}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "")
  add_library(${precompiled} OBJECT ${source})
  target_link_libraries(${precompiled} PRIVATE portolan_flags fmt::fmt $<$<STREQUAL:${KIND},test>:GTest::gmock>)
  target_precompile_headers(${precompiled} PRIVATE
    ${CMAKE_SOURCE_DIR}/cmake/precompiled$<$<STREQUAL:${KIND},test>:_test>.h)
  portolan_kind_flags(${precompiled} ${KIND})
  add_dependencies(tidy_needs ${precompiled})
endfunction()

# portolan_library(NAME [THREADS] [KIND kind] [DEPS targets...] [TEST_DEPS targets...] [LABEL labels...])
#
# Makes the static library NAME, an engine by default, of the current folder's *.cpp (test files apart) and, with
# PORTOLAN_TESTS, the program NAME_test of its *_test.cpp, each test case one CTest entry with the
# labels (unit by default). THREADS: it or its tests have some, or use a device or a server that has.
function(portolan_library NAME)
  cmake_parse_arguments(ARG "THREADS" "KIND" "DEPS;TEST_DEPS;LABEL" ${ARGN})
  if(NOT ARG_KIND)
    set(ARG_KIND engine)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  if(sources)
    add_library(${NAME} STATIC ${sources})
    target_link_libraries(${NAME} PUBLIC portolan_flags ${ARG_DEPS})
    portolan_kind(${NAME} ${ARG_KIND})
  else()
    add_library(${NAME} INTERFACE)
    target_link_libraries(${NAME} INTERFACE portolan_flags ${ARG_DEPS})
  endif()
  set(threads "")
  if(ARG_THREADS)
    set(threads THREADS)
  else()
    portolan_expect_no_threads(${sources})
  endif()
  if(PORTOLAN_TESTS AND tests)
    portolan_test(${NAME}_test ${threads} SOURCES ${tests} DEPS ${NAME} ${ARG_TEST_DEPS} LABEL ${ARG_LABEL})
  endif()
endfunction()

# What starts no thread has no data races: ThreadSanitizer would only look for them, for as long as all else takes.
function(portolan_expect_no_threads)
  foreach(source IN LISTS ARGN)
    file(STRINGS ${source} found REGEX "std::(jthread|thread|async)|pthread_create" LIMIT_COUNT 1)
    if(found)
      message(FATAL_ERROR "${source} starts threads: say THREADS where it is built, so that ThreadSanitizer sees its tests")
    endif()
  endforeach()
endfunction()

# portolan_test(NAME [THREADS] SOURCES files... [DEPS targets...] [LABEL labels...])
#
# With ThreadSanitizer only those that have THREADS are there.
function(portolan_test NAME)
  cmake_parse_arguments(ARG "THREADS" "" "SOURCES;DEPS;LABEL" ${ARGN})
  if(NOT ARG_THREADS)
    portolan_expect_no_threads(${ARG_SOURCES})
    if(PORTOLAN_SANITIZERS MATCHES thread)
      return()
    endif()
  endif()
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  portolan_kind(${NAME} test)
  gtest_discover_tests(${NAME} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 120 PROPERTIES TIMEOUT 300)
  # A list of labels does not get through gtest_discover_tests(); CTest reads this file after its tests.
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/${NAME}_labels.cmake
    "if(${NAME}_TESTS)\n  set_tests_properties(\${${NAME}_TESTS} PROPERTIES LABELS \"${ARG_LABEL}\")\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${CMAKE_CURRENT_BINARY_DIR}/${NAME}_labels.cmake)
endfunction()
