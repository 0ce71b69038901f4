# SPDX-License-Identifier: Apache-2.0
# The comments beside the fields of proto/kinds/*.proto as a table for --help:
# { "Message.field", "comment" }.
BEGIN {
	print "/* SPDX-License-Identifier: Apache-2.0 */"
	print "/* Made by cli/help.awk. */"
	print "#include \"cli/help.h\""
	print ""
	print "const struct help_row help_rows[] = {"
}
/^message [A-Za-z]+ \{/ { message = $2 }
/= [0-9]+;[ \t]*\/\/ / {
	field = $0
	sub(/ = [0-9]+;.*/, "", field)
	sub(/.* /, "", field)
	text = $0
	sub(/.*;[ \t]*\/\/ /, "", text)
	gsub(/\\/, "\\\\", text)
	gsub(/"/, "\\\"", text)
	printf "\t{ \"%s.%s\", \"%s\" },\n", message, field, text
}
END {
	print "\t{ 0, 0 },"
	print "};"
}
