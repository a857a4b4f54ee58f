# SPDX-License-Identifier: BSD-3-Clause
# What others have made, under one name on every system: vhu::uv, vhu::cmocka, vhu::threads and, where it is there,
# vhu::uring.

include(${CMAKE_CURRENT_LIST_DIR}/libuv.cmake)
if(NOT TARGET vhu::uv)
    message(FATAL_ERROR "libuv 1.44 or newer is needed, and on POSIX pkg-config to find it")
endif()
if(NOT WIN32)
    find_package(PkgConfig REQUIRED)
endif()

if(VHU_IO_URING AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
    pkg_check_modules(LIBURING IMPORTED_TARGET GLOBAL liburing>=2.3)
    if(LIBURING_FOUND)
        vhu_dependency(uring PkgConfig::LIBURING)
        target_compile_definitions(vhu::uring INTERFACE WITH_IO_URING)
    endif()
endif()

if(VHU_TESTS AND WIN32)
    # Its CMake package names a file that is not there.
    find_library(CMOCKA_LIBRARY NAMES cmocka-static cmocka REQUIRED)
    find_path(CMOCKA_INCLUDE cmocka.h REQUIRED)
    vhu_dependency(cmocka ${CMOCKA_LIBRARY})
    target_include_directories(vhu::cmocka INTERFACE ${CMOCKA_INCLUDE})
    if(MINGW)
        # It takes C's formats (ci/setup), but its header has them checked as those of Windows.
        target_compile_options(vhu::cmocka INTERFACE -Wno-format)
    endif()
elseif(VHU_TESTS)
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET GLOBAL cmocka)
    vhu_dependency(cmocka PkgConfig::CMOCKA)
endif()
