# SPDX-License-Identifier: BSD-2-Clause
# Targets: portolan::portolan, the shared library, and portolan::portolan_static.
include(${CMAKE_CURRENT_LIST_DIR}/portolanTargets.cmake)
set_property(TARGET portolan::portolan_static PROPERTY INTERFACE_LINK_LIBRARIES stdc++ m)
