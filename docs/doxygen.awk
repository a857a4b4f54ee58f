# SPDX-License-Identifier: BSD-3-Clause
#
# Doxygen's filter for the public headers, which have plain comments: those before and behind
# declarations become documentation, that of a file its page. A comment holds for all functions
# below it up to a blank line. One with a blank line below it holds for all functions of its section
# that have none of their own, and a function's own holds for no other then. Lines that are indented
# are kept as they are, and nothing is a command.

# What is between backquotes stays as it is, but "0 .. n", in which a sentence would end; and nothing
# is a command between quotation marks.
function escaped(text, parts, n, i)
{
    n = split(text, parts, "`")
    text = ""
    for (i = 1; i <= n; i++) {
        if (i % 2) {
            gsub(/[\\@<>#%&*]/, "\\\\&", parts[i])
            gsub(/"\\@/, "\"@", parts[i])
            gsub(/\.\./, ".\\\\.", parts[i])
        } else {
            gsub(/ \.\. /, "..", parts[i])
        }
        text = text (i > 1 ? "`" : "") parts[i]
    }
    return text
}

# A line of a comment without its frame.
function body(line)
{
    sub(/^ *\/?\*\/?/, "", line)
    sub(/ *\*\/ *$/, "", line)
    return line
}

function out(line)
{
    comment = comment line "\n"
}

function add(line)
{
    is_code = line ~ /^   /
    if (is_code != in_code && (is_code || line !~ /^ *$/)) {
        out(is_code ? " * \\code{.unparsed}" : " * \\endcode")
        in_code = is_code
    }
    out(" *" (in_code ? line : escaped(line)))
}

function begin(opening)
{
    comment = ""
    out(opening)
    in_comment = 1
    used = 0
}

function end()
{
    if (in_code)
        out(" * \\endcode")
    out(" */")
    in_comment = in_code = 0
    is_held = 1
}

# A comment is written when it is known what follows.
function release()
{
    if (is_held)
        printf "%s", comment
    is_held = 0
}

FNR == 1 {
    comment = section = ""
    in_comment = in_code = is_held = 0
    next
}

in_comment {
    add(body($0))
    if (/\*\/ *$/)
        end()
    next
}

/^ *\/\* ---/ {
    section = ""
    next
}

/^ *\/\*/ {
    release()
    is_outside = /^\//
    begin(FNR == 2 ? "/** \\file" : "/**")
    if (body($0) != "")
        add(body($0))
    if (/\*\/ *$/)
        end()
    next
}

/^$/ && is_held && is_outside {
    section = comment
    is_held = 0
}

{
    release()
}

/^$/ {
    comment = ""
}

/^VHU_API/ && comment != "" && used++ {
    printf "%s", comment
}

/^VHU_API/ && section != "" {
    if (comment == "")
        printf "%s", section
    comment = ""
}

# A comment behind something.
/[^ ] +\/\* / {
    at = index($0, "/* ")
    text = substr($0, at + 3)
    sub(/ *\*\/ *$/, "", text)
    print substr($0, 1, at - 1) "/**< " escaped(text) " */"
    next
}

{
    print
}
