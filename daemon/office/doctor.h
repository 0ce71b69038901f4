/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_OFFICE_DOCTOR_H
#define DAEMON_OFFICE_DOCTOR_H

#include "daemon/office/office.h"

/* What can be wrong with an office, each with what to do about it: its post,
 * directory, certificates, store, quarantine, alarms, clock, and the way to
 * each other node. DONE is called once, later; V is borrowed for that call. */
void doctor_run(struct office *o, void (*done)(void *arg, const Citex__DoctorView *v), void *arg);

#endif
