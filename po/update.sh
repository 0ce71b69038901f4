#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Gathers the words of citex into po/citex.pot, and brings each language's
# po/LANGUAGE.po up to it. A new language: msginit -i po/citex.pot -o po/fr.po -l fr
set -eu
cd "$(dirname "$0")/.."
po/gather.sh po/citex.pot
for po in po/*.po; do
	[ -e "$po" ] || continue
	msgmerge --quiet --update --backup=none --no-wrap --no-location "$po" po/citex.pot
	sed -i '/^"POT-Creation-Date:/d; /^"Report-Msgid-Bugs-To:/d' "$po"
done
