/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_LIMITS_H
#define PROTO_LIMITS_H

/* Every bound of citex: its unit ends the name, its reason stands beside it.
 * tests/checks/limits.txt names, for each, the test at the limit and one beyond. */

#define KIB 1024UL
#define MIB (1024UL * KIB)
#define SECOND_MS 1000LL
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

/* Names and ids */
#define ID_BYTES 16 /* UUIDv7 (RFC 9562) */
#define DIGEST_BYTES 32 /* SHA-256 */
#define KEY_ID_BYTES 20 /* subject key identifier, RFC 5280 4.2.1.2 method 1 */
#define INCARNATION_BYTES 8
#define AUTHORITY_MAX_BYTES 64 /* PARTY[.OFFICE] */
#define NODE_MAX_BYTES 64
#define OFFICER_MAX_BYTES 128

/* Wire */
#define FRAME_MAX_BYTES (128 * KIB) /* protobuf of one frame, without its length */
#define FRAME_HEADER_BYTES 4
#define ENVELOPE_MAX_BYTES (96 * KIB)
#define CONTENT_MAX_BYTES (64 * KIB) /* the signed content, padding included */
#define CONTENT_PAD_MIN_BYTES 1024 /* padded to a power of two from here on */
#define CHUNK_BYTES \
	(64 * KIB) /* ciphertext of one chunk, tag included; the last may be shorter \
		    */
#define CHUNK_TAG_BYTES 16
#define CHUNK_PLAIN_BYTES (CHUNK_BYTES - CHUNK_TAG_BYTES)
#define ATTACHMENT_MAX_BYTES (2048 * MIB)
#define ATTACHMENTS_MAX 16
#define ATTACHMENT_NAME_MAX_BYTES 255
#define ADDRESSEES_MAX 512 /* a message to every authority of the directory */
#define SLIP_MAX_BYTES (4 * KIB)
#define SLIP_REASON_MAX_BYTES 512
#define DIRECTORY_MAX_BYTES (8 * MIB)
#define DIRECTORY_HEADS_MAX 128 /* heads in one frame */
#define PROTO_DEPTH_MAX 8 /* nested messages; protobuf-c itself knows no limit */
#define PROTO_EXPANSION_MAX \
	16 /* heap of a decoded message : its bytes; protobuf-c alone allows 76 */
#define MERKLE_PATH_MAX 16 /* a batch has at most 2^16 leaves */

/* Session */
#define WINDOW_ENVELOPES 256 /* envelopes in flight on one session */
#define BATCH_MAX 128 /* envelopes in one commit, leaves under one signature */
#define CROWD_MIN 8 /* jobs in one commit: more will come, and the next commit lets them gather */
#define CROWD_GATHER_MS 4 /* so long after the one before; BATCH_MAX jobs go at once */
#define CHUNKS_IN_FLIGHT 8 /* chunk requests; keeps memory of a transfer constant */
#define SEND_HIGH_BYTES (1 * MIB) /* a link that holds more than this takes no more for now */
#define HANDSHAKE_TIMEOUT_MS (10 * SECOND_MS)
#define HELLO_TIMEOUT_MS (10 * SECOND_MS)
#define FRAME_TIMEOUT_MS (60 * SECOND_MS) /* from a frame's first byte to its last */
#define KEEPALIVE_MS (60 * SECOND_MS)
#define SILENCE_MAX_MS (150 * SECOND_MS) /* nothing heard: the link is dead */
#define ANSWER_TIMEOUT_MS (120 * SECOND_MS) /* an envelope or chunk request without answer */

/* Posts */
#define RETRY_FIRST_MS (1 * SECOND_MS)
#define RETRY_MAX_MS (15 * MINUTE_MS)
#define PEERS_MAX 2000
#define HALF_OPEN_MAX 256
#define HALF_OPEN_PER_PREFIX_MAX 8
#define QUEUE_PEER_MAX_ENVELOPES 1000000UL
#define LIFETIME_DEFAULT_MS (30 * DAY_MS)
#define LIFETIME_MAX_MS (90 * DAY_MS)
#define EXPIRES_AHEAD_MAX_MS (92 * DAY_MS) /* further ahead of our clock is answered `later' */
#define REMEMBER_AFTER_EXPIRY_MS (48 * HOUR_MS)
#define OFFER_AGAIN_MS (24 * HOUR_MS) /* no `opened' by then: offer the envelope again */
#define KEEP_SEALED_AFTER_STORED_MS (14 * DAY_MS)
#define CLOCK_JUMP_MS (1 * HOUR_MS)
#define DIRECTORY_ASK_MS (1 * HOUR_MS)

/* Offices */
#define OPEN_ATTEMPTS_MAX 3 /* openings that killed the process before it is quarantined */
#define EPHEMERAL_MAX_ENVELOPES 1000 /* one ephemeral key, one addressee */
#define EPHEMERAL_MAX_MS (60 * SECOND_MS)
#define RESEALS_MAX 3 /* new sealings for one addressee: who asks for more keeps no key */
#define RESEAL_ANEW_MS \
	(3 * DAY_MS) /* after `stored': until then a new sealing begins the clock anew */
#define KEY_OVERLAP_MS (30 * DAY_MS)
#define SEALING_KEY_KEPT_MS (90 * DAY_MS)
#define SILENCE_NOTICE_MS (4 * HOUR_MS) /* no word from an addressee: the officer hears it */
#define SILENCE_LOOKS_MAX 1000 /* envelopes looked at a minute: the loop waits for it */
#define UNTIL_MAX_MS (366 * DAY_MS) /* an interim answer moves the clock, and does not end it */
#define DUE_SOON_MS (2 * DAY_MS) /* before an answer is due: time for an interim one */
#define SWEEP_CHUNKS_MAX 64 /* deleted in one transaction: what others write waits for it */
#define PRUNE_MAX 64 /* envelopes in one transaction: what others write waits for it */
#define PRUNE_ROUND_MS (1 * DAY_MS)
#define DESK_CLIENTS_MAX 64
#define DESK_CLIENTS_PER_USER_MAX 32 /* one user's programs leave room for another's */
#define DESK_IDLE_MS (10 * SECOND_MS) /* a client that sends half a frame */
#define LIST_PAGE_MAX 1000
#define TEXT_MAX_BYTES (32 * KIB) /* free text in a message */

/* Processes */
#define CHILD_READY_MS (60 * SECOND_MS) /* a child that is not at work by then is killed */
#define CHILD_ALIVE_ASK_MS (10 * SECOND_MS)
#define CHILD_SILENCE_MAX_MS (60 * SECOND_MS) /* a loop that never waits answers before */
#define CHILD_RESTART_FIRST_MS (1 * SECOND_MS) /* after the second death; the first is free */
#define CHILD_RESTART_MAX_MS (60 * SECOND_MS)
#define CHILD_STEADY_MS (60 * SECOND_MS) /* at work for as long: deaths are counted anew */
#define STOP_MAX_MS (10 * SECOND_MS) /* from SIGTERM to SIGKILL of what still runs */
#define HOOK_MAX_MS (10 * SECOND_MS)
#define HOOKS_RUNNING_MAX 4
#define HOOKS_WAITING_MAX 256 /* events beyond are dropped: a hook is a hint, not a record */

/* Log */
#define LOG_LINES_PER_SECOND_MAX 100 /* an attacker's noise must not fill the disk */
#define LOG_LINE_MAX_BYTES 4096 /* one write() to a pipe does not mix with others up to this */
#define LOG_VALUE_MAX_BYTES 512

/* Stores */
#define STORE_LOW_MARK_PERCENT 80 /* above it nothing new is accepted */
#define STORE_KEY_MAX_BYTES 256
#define STORE_VALUE_MAX_BYTES (1 * MIB)
#define STORE_MAP_DEFAULT_BYTES (16384 * MIB)
#define PASSPHRASE_MAX_BYTES 1024

#endif
