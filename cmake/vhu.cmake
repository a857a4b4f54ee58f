# SPDX-License-Identifier: BSD-3-Clause
# The verbs of the other lists, and what every target of ours is compiled with.

# The port, its libraries, and what headers of the system are asked for.
if(WIN32)
    set(VHU_PORT windows)
    set(VHU_SYSTEM_LIBRARIES advapi32 bcrypt ntdll)
    set(VHU_SYSTEM_DEFINITIONS
        _WIN32_WINNT=0x0A00 WIN32_LEAN_AND_MEAN _CRT_SECURE_NO_WARNINGS __USE_MINGW_ANSI_STDIO=1)
else()
    set(VHU_PORT posix)
    set(VHU_SYSTEM_LIBRARIES "")
    set(VHU_SYSTEM_DEFINITIONS _GNU_SOURCE)
endif()

if(MSVC)
    set(VHU_COMPILE_OPTIONS /utf-8 /W4 $<$<COMPILE_LANGUAGE:C>:/experimental:c11atomics>
        $<$<BOOL:${VHU_WERROR}>:/WX>)
    set(VHU_HEADER_OPTIONS /W4)
else()
    set(VHU_COMPILE_OPTIONS
        -Wall -Wextra -Wconversion -Wshadow -Wvla -Wundef -Wpointer-arith -Wcast-qual -Wformat=2
        $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
        $<$<BOOL:${VHU_WERROR}>:-Werror>)
    set(VHU_HEADER_OPTIONS -Wall -Wextra -pedantic)
endif()

function(vhu_compile_options target)
    target_compile_definitions(${target} PRIVATE ${VHU_SYSTEM_DEFINITIONS})
    target_compile_options(${target} PRIVATE ${VHU_COMPILE_OPTIONS})
    if(VHU_SANITIZE)
        target_compile_options(${target} PRIVATE
            -fsanitize=${VHU_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
        target_link_options(${target} PUBLIC -fsanitize=${VHU_SANITIZE})
    endif()
    if(VHU_COVERAGE)
        target_compile_options(${target} PRIVATE --coverage)
        target_link_options(${target} PUBLIC --coverage)
    endif()
endfunction()

# Sets `out` if the target, or one that it needs, is in the list VHU_LEFT_OUT; it gets there itself then.
function(vhu_left_out out target)
    get_property(left_out GLOBAL PROPERTY VHU_LEFT_OUT)
    set(${out} FALSE PARENT_SCOPE)
    foreach(needed ${target} ${ARGN})
        if(needed IN_LIST left_out)
            message(STATUS "Left out: ${target}")
            set_property(GLOBAL APPEND PROPERTY VHU_LEFT_OUT ${target})
            set(${out} TRUE PARENT_SCOPE)
            return()
        endif()
    endforeach()
endfunction()

# What a shared library shows: the functions of a linker's map, on Windows by a list of exports that is made of it.
function(vhu_exports target map)
    if(WIN32)
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${map})
        file(READ ${map} text)
        string(REGEX MATCHALL "vhu_[a-z0-9_]+" names "${text}")
        list(JOIN names "\n" names)
        file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${target}.def CONTENT "EXPORTS\n${names}\n" @ONLY)
        target_sources(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${target}.def)
    elseif(CMAKE_EXECUTABLE_FORMAT STREQUAL "ELF")
        set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${map})
        target_link_options(${target} PRIVATE LINKER:--version-script=${map},--no-undefined-version)
    endif()
endfunction()

# A library, static (name) and shared (name_shared), of the same sources; name.map has what the latter shows. Others know
# them as vmm_vhost::PUBLIC_static and vmm_vhost::PUBLIC; the component is that of packages.
function(vhu_library name)
    cmake_parse_arguments(ARG "" "COMPONENT;PUBLIC" "SOURCES;INCLUDES;LINK" ${ARGN})
    foreach(kind STATIC SHARED)
        set(target ${name})
        set(suffix "")
        set(public ${ARG_PUBLIC}_static)
        if(kind STREQUAL SHARED)
            set(target ${name}_shared)
            set(suffix _shared)
            set(public ${ARG_PUBLIC})
        endif()
        add_library(${target} ${kind} ${ARG_SOURCES})
        add_library(vmm_vhost::${public} ALIAS ${target})
        vhu_compile_options(${target})
        target_include_directories(${target} PUBLIC
            $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
            $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
        target_include_directories(${target} PRIVATE ${ARG_INCLUDES})
        foreach(dependency ${ARG_LINK})
            if(TARGET ${dependency}${suffix})
                target_link_libraries(${target} PUBLIC ${dependency}${suffix})
            elseif(TARGET ${dependency} OR kind STREQUAL STATIC)
                target_link_libraries(${target} PUBLIC ${dependency})
            else()
                target_link_libraries(${target} PRIVATE ${dependency})
            endif()
        endforeach()
        set_target_properties(${target} PROPERTIES
            OUTPUT_NAME ${name} EXPORT_NAME ${public} VERSION ${PROJECT_VERSION} SOVERSION ${VHU_ABI})
        install(TARGETS ${target} EXPORT ${name}
            ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev
            LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${ARG_COMPONENT} NAMELINK_COMPONENT dev
            RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${ARG_COMPONENT})
    endforeach()
    target_compile_definitions(${name}_shared PRIVATE VHU_SHARED_BUILD INTERFACE VHU_SHARED)
    vhu_exports(${name}_shared ${CMAKE_CURRENT_SOURCE_DIR}/${name}.map)
    if(WIN32)
        set_target_properties(${name}_shared PROPERTIES RUNTIME_OUTPUT_NAME ${name}-${VHU_ABI})
    endif()
    if(MSVC)
        # Else it has the name of the DLL's import library.
        set_target_properties(${name} PROPERTIES PREFIX lib)
    endif()
endfunction()

# A program on the static libraries. RUNS: programs that it starts, as NAME=target, whose path it gets as the macro NAME.
function(vhu_program name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK;RUNS" ${ARGN})
    list(TRANSFORM ARG_RUNS REPLACE "^.*=" "" OUTPUT_VARIABLE programs)
    vhu_left_out(left_out ${name} ${ARG_LINK} ${programs})
    if(left_out)
        return()
    endif()
    add_executable(${name} ${ARG_SOURCES})
    vhu_compile_options(${name})
    target_link_libraries(${name} PRIVATE ${ARG_LINK})
    if(VHU_SANITIZE MATCHES thread)
        target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/tsan_start.c)
    endif()
    foreach(run ${ARG_RUNS})
        string(REGEX MATCH "^(.*)=(.*)$" run ${run})
        add_dependencies(${name} ${CMAKE_MATCH_2})
        target_compile_definitions(${name} PRIVATE ${CMAKE_MATCH_1}="$<TARGET_FILE:${CMAKE_MATCH_2}>")
    endforeach()
endfunction()
