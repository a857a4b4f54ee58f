# SPDX-License-Identifier: BSD-3-Clause
# What others have made, under one name on every system: vhu::uv, vhu::cmocka, vhu::threads and, where it is there,
# vhu::uring.

# vhu_dependency(name LIBRARY...)
function(vhu_dependency name)
    add_library(vhu::${name} INTERFACE IMPORTED GLOBAL)
    target_link_libraries(vhu::${name} INTERFACE ${ARGN})
endfunction()

if(WIN32)
    find_package(libuv CONFIG REQUIRED)
    # Older and newer releases, static and shared ones.
    foreach(target libuv::uv_a uv_a libuv::uv uv)
        if(TARGET ${target} AND NOT TARGET vhu::uv)
            set_target_properties(${target} PROPERTIES IMPORTED_GLOBAL ON)
            vhu_dependency(uv ${target})
        endif()
    endforeach()
    vhu_dependency(threads)
else()
    find_package(PkgConfig REQUIRED)
    find_package(Threads REQUIRED)
    pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET GLOBAL libuv>=1.44)
    vhu_dependency(uv PkgConfig::LIBUV)
    vhu_dependency(threads Threads::Threads)
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
