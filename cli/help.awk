# SPDX-License-Identifier: Apache-2.0
# The fields of proto/kinds/*.proto for people, as a table for --help and
# `show': { "Message.field", its name in words, the comment beside it }. A
# comment that only names a list of codes says nothing to them.
BEGIN {
	print "/* SPDX-License-Identifier: Apache-2.0 */"
	print "/* Made by cli/help.awk. */"
	print "#include \"cli/help.h\""
	print "#include \"proto/words.h\""
	print ""
	print "const struct help_row help_rows[] = {"
}
/^message [A-Za-z]+ \{/ { message = $2 }
/^  .* = [0-9]+;/ {
	field = $0
	sub(/ = [0-9]+;.*/, "", field)
	sub(/.* /, "", field)
	name = field
	gsub(/_/, " ", name)
	text = ""
	if (/;[ \t]*\/\/ /) {
		text = $0
		sub(/.*;[ \t]*\/\/ /, "", text)
		gsub(/\\/, "\\\\", text)
		gsub(/"/, "\\\"", text)
	}
	if (text ~ /^[a-z_]*$/)
		text = ""
	printf "\t{ \"%s.%s\", N_(\"%s\"), %s },\n", message, field, name, text == "" ? "0" : "N_(\"" text "\")"
}
END {
	print "\t{ 0, 0, 0 },"
	print "};"
}
