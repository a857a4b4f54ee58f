# SPDX-License-Identifier: BSD-3-Clause
# Programs for a big-endian machine: Debian's cross compiler, what ci/setup has built with it, and QEMU to run them.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR s390x)

set(CMAKE_C_COMPILER s390x-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER s390x-linux-gnu-g++)

if(DEFINED ENV{VHU_CACHE})
    set(libraries $ENV{VHU_CACHE}/s390x)
else()
    set(libraries ${CMAKE_CURRENT_LIST_DIR}/../build/cache/s390x)
endif()
set(CMAKE_FIND_ROOT_PATH ${libraries} /usr/s390x-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${libraries}/lib/pkgconfig)

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-s390x-static -L /usr/s390x-linux-gnu)
