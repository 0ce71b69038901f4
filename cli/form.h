/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FORM_H
#define CLI_FORM_H

#include "cli/arguments.h"
#include "proto/json.h"
#include "proto/kind.h"

/* A kind's body as options, as JSON, and as a form in an editor: all from its
 * descriptor. A scalar f is --f; a field f of a single message m is --m-f; a
 * field f of a message that may be repeated is --f, and giving it again begins
 * a new one; a scalar that may be repeated is given several times. Where two
 * would have one name, or a name of TAKEN, the later is --m-f as well. */
struct form;

/* TAKEN: the options that are allowed already. K is borrowed. */
struct form *form_new(const struct kind *k, const struct arguments *taken);
void form_free(struct form *f); /* NULL too */
void form_drop(struct form **f);

/* The options, for arguments_allow() and --help; NAME NULL ends. Lives as long as F. */
const struct option_row *form_options(const struct form *f);
/* The words that the option of ROW takes, when it takes a code; NULL: any text. */
const struct code_list *form_codes(const struct form *f, const struct option_row *row);
/* The option for a field by its path as in struct kind_problem (`permit.type'); NULL: none. */
const char *form_option_name(const struct form *f, const char *path);

/* Start from the JSON text of FROM (an object with the schema's names), replacing what was set.
 * ERR_VALUE. */
enum err form_load_json(struct form *f, struct bytes from, struct failure *why) MUST_CHECK;
/* Fill in from BODY, of a message of kind FROM, the fields that F's kind takes over, but for those
 * that are set. ERR_MALFORMED. */
enum err form_take_over(
    struct form *f, const struct kind *from, struct bytes body, struct failure *why) MUST_CHECK;
/* Set what was given: options that are not the form's are passed over. ERR_VALUE with the option
 * named: no such code, no number, too many. */
enum err form_take_arguments(struct form *f, const struct arguments *a, struct failure *why)
    MUST_CHECK;
/* The form as lines `option: value' for a person to edit, with what is set filled in. */
void form_write(const struct form *f, struct buffer *out);
/* Read such lines back, replacing all that was set. ERR_VALUE. */
enum err form_read(struct form *f, struct bytes lines, struct failure *why) MUST_CHECK;
/* Is anything set? */
bool form_is_empty(const struct form *f);

/* Encode and check as the kind demands. ERR_VALUE with the option named. */
enum err form_body(const struct form *f, struct buffer *out, struct failure *why) MUST_CHECK;

#endif
