#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# 2,000 seeds; a hundred under sanitizers, which are slower by a factor of ten.
set -eu
case $(pwd) in
*/_build/*) echo "the simulator is not for distcheck"; exit 77 ;;
esac
seeds=2000
grep -q '^CITEX_CFLAGS = .*-fsanitize=' Makefile && seeds=100
exec tests/sim/sim_mail 1 "$seeds"
