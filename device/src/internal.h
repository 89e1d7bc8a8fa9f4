/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what the files of the library have of each other. Each is a paragraph
 * of docs/protocol.md, section 4 and 5, as the files of cpns/pne are:
 *
 *     pne.c             a device's life: init, feed, poll, and who a message is for
 *     hello.c           what a hello says, and what makes it fresh
 *     schedule.c        when it is said
 *     notification.c    notification -> acknowledgement
 *     authentication.c  auth-challenge -> auth-response, eukey-update -> acknowledgement
 *     record.c          what outlives a power cut
 *     line.c            when one may speak on a serial line that others share
 *     message.c         reading messages; cbor.c below it
 *     cose.c            keys, tags and what is sealed
 *     frame.c           frames of a byte stream
 *     name.c            topics and identities; application.c: application keys
 *     wipe.c            comparing and wiping
 */
#ifndef CPNS_INTERNAL_H
#define CPNS_INTERNAL_H

#include <string.h>

#include "cpns_crypto.h"
#include "cpns_pne.h"

/* The types of messages. */
enum {
	TYPE_IDENTIFY,
	TYPE_HELLO,
	TYPE_NOTIFICATION,
	TYPE_ACKNOWLEDGEMENT,
	TYPE_AUTH_CHALLENGE,
	TYPE_AUTH_RESPONSE,
	TYPE_EUKEY_UPDATE
};

/* The statuses of an acknowledgement. */
enum {
	ACK_SUCCESS,
	ACK_CANNOT_DECRYPT,
	ACK_STALE,
	ACK_CHAIN_BROKEN,
	ACK_NOT_STORED
};

enum {
	VERSION = 1,
	INDEX_MAX = 1024,
	NONCE_SIZE = 16,
	IV_SIZE = 12,
	TAG_SIZE = 16, /* of ChaCha20-Poly1305 */
	ALGS_MAX = 8,

	/* The largest thing that is put together: Enc_structure around
	 * [6, e, g, rand-gw, rand-pne, epoch, index], all at their longest. */
	SCRATCH_SIZE = 200,

	AT_SAID = 2, /* where in a scratch a message is built, so that a frame fits around it */
	AT_AAD = 17  /* where in a scratch the external_aad of something sealed is built */
};

/* ---- cbor.c: RFC 8949, core deterministic encoding. */

/* A reader reads what must be there. Once it is bad it stays bad, and reads as zero. */
typedef struct {
	uint8_t *at;
	uint8_t *end;
	bool bad;
} reader_t;

enum { MAJOR_UNSIGNED, MAJOR_NEGATIVE, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY };

uint64_t cpns_read_head(reader_t *r, unsigned major);
uint32_t cpns_read_unsigned(reader_t *r, uint32_t max);
uint8_t *cpns_read_bytes(reader_t *r, size_t size);
uint8_t *cpns_read_raw(reader_t *r, size_t size);
void cpns_read_exactly(reader_t *r, const void *want, size_t size);
bool cpns_read_null(reader_t *r);

/* A writer writes into what has room for size bytes. What would not fit is left
 * out; all that the library writes fits. */
typedef struct {
	uint8_t *start;
	size_t size;
	size_t len;
} writer_t;

void cpns_write_raw(writer_t *w, const void *data, size_t size);
void cpns_write_head(writer_t *w, unsigned major, uint32_t value);
void cpns_write_bytes(writer_t *w, const void *data, size_t size);
void cpns_write_text(writer_t *w, const char *text, size_t size);

/* ---- message.c */

/* A message_t is a message as it was read. Its pointers are into the message. */
typedef struct {
	uint8_t type;
	uint8_t e_len, g_len; /* e_len 0: an identify for everybody */
	uint8_t status;
	const char *e, *g;
	const uint8_t *rand;   /* rand-gw of a challenge */
	const uint8_t *iv;     /* of what is sealed */
	uint8_t *sealed;       /* ciphertext and tag */
	size_t sealed_len;
	const uint8_t *x25519; /* NULL where there is none */
	uint32_t epoch;
	uint16_t index;
} message_t;

/* cpns_mac0_until_tag is a COSE_Mac0 up to its tag: [<< {1: 5} >>, {}, h'', tag]. */
extern const uint8_t cpns_mac0_until_tag[9];

/* cpns_read_message reads a message of at most CPNS_MESSAGE_MAX bytes: false where
 * it is none of the protocol's. */
bool cpns_read_message(message_t *m, uint8_t *msg, size_t len);

bool cpns_name_ok(const char *name, size_t len);
bool cpns_is_own(const cpns_pne_t *pne, const message_t *m);
size_t cpns_entity_len(const cpns_pne_t *pne);

/* ---- cose.c */

/* What a derived key is for. */
typedef enum {
	FOR_HELLO,
	FOR_NOTIFICATION,
	FOR_ACKNOWLEDGEMENT,
	FOR_AUTHENTICATION,
	FOR_UPDATE,
	FOR_SESSION
} purpose_t;

/* derive is HKDF(secret | secret2, salt, the purpose's label | 0x00 | e, 32), with
 * 0x00 | g behind it for a session key. It wipes nothing but what it made itself. */
bool cpns_derive(const cpns_pne_t *pne, uint8_t out[32], purpose_t purpose, cpns_bytes_t secret, cpns_bytes_t secret2,
            cpns_bytes_t salt);

/* cpns_mac0_tag puts the tag of the COSE_Mac0 of an external_aad in place of the key that it is
 * under. */
bool cpns_mac0_tag(uint8_t key[32], const writer_t *aad);

void cpns_write_mac0(writer_t *w, const uint8_t tag[32]);

/* A verdict_t is what was found out about what somebody else made. */
typedef enum {
	RIGHT,
	WRONG,
	UNKNOWN /* the cryptography failed: nothing was found out */
} verdict_t;

/* cpns_open_sealed decrypts m's sealed in place; aad_len bytes of external_aad are at
 * scratch + AT_AAD. The plaintext is TAG_SIZE bytes shorter than sealed. */
verdict_t cpns_open_sealed(const uint8_t key[32], const message_t *m, uint8_t *scratch, size_t aad_len);

/* NOINLINE keeps what a function needs off the stack while another is under way. */
#ifdef __GNUC__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE
#endif

static inline cpns_bytes_t piece(const void *data, size_t len)
{
	cpns_bytes_t b = {data, len};
	return b;
}

static inline cpns_bytes_t tk_of(const cpns_pne_t *pne)
{
	return piece(pne->config->tk, pne->config->tk_len);
}

static inline bool holds(const cpns_pne_t *pne)
{
	return pne->held.index != 0;
}

/* ---- hello.c: what says one returns CPNS_WHY_NONE, or why it could not. */

cpns_why_t cpns_say_new_hello(cpns_pne_t *pne, uint8_t *scratch);
cpns_why_t cpns_say_same_hello(cpns_pne_t *pne, uint8_t *scratch);
bool cpns_same_hello_good(const cpns_pne_t *pne);
void cpns_spend_hello(cpns_pne_t *pne);

/* draw is the nonce of a hello, or rand-pne. */
cpns_why_t cpns_draw(const cpns_pne_t *pne, uint8_t r[NONCE_SIZE]);

/* ---- schedule.c */

void cpns_elapse(cpns_pne_t *pne, uint32_t now);
uint32_t cpns_jitter(cpns_pne_t *pne, uint32_t bound);
void cpns_schedule_begin(cpns_pne_t *pne);
void cpns_schedule_identified(cpns_pne_t *pne, bool everybody);
void cpns_schedule_opened(cpns_pne_t *pne);
bool cpns_schedule_due(const cpns_pne_t *pne, uint32_t *after);
void cpns_schedule_hello(cpns_pne_t *pne, uint8_t *scratch);

/* ---- notification.c, authentication.c: what a message gets. They build the answer
 * at scratch + AT_SAID and return its length, 0 for silence; event is filled in. */

size_t cpns_notification(cpns_pne_t *pne, message_t *m, const uint8_t hash[32], uint8_t *scratch, cpns_event_t *event);
size_t cpns_auth_challenge(cpns_pne_t *pne, const message_t *m, uint8_t *scratch, cpns_event_t *event);
size_t cpns_eukey_update(cpns_pne_t *pne, message_t *m, const uint8_t hash[32], uint8_t *scratch, cpns_event_t *event);

size_t cpns_silent(cpns_event_t *event, cpns_why_t why);
size_t cpns_refuse(const cpns_pne_t *pne, const message_t *m, uint8_t status, cpns_why_t why, uint8_t *scratch,
              cpns_event_t *event);
size_t cpns_reject(const cpns_pne_t *pne, const message_t *m, verdict_t verdict, uint8_t status, cpns_why_t why,
              uint8_t *scratch, cpns_event_t *event);

/* cpns_taken_again tells whether a message is the one that was taken last. */
bool cpns_taken_again(const cpns_pne_t *pne, const uint8_t hash[32]);

/* take remembers what was taken, and acknowledges it. */
size_t cpns_take(cpns_pne_t *pne, uint8_t type, const uint8_t hash[32], const uint8_t context[32], uint8_t *scratch);
size_t cpns_acknowledge_taken(const cpns_pne_t *pne, uint8_t *scratch);

/* ---- record.c */

/* cpns_load_records fills in what is held. lost: something is stored, and cannot be used. */
cpns_result_t cpns_load_records(cpns_pne_t *pne, bool *lost);

/* hold stores an EUKey, durably and read back, and puts it in place of what is held:
 * false, and nothing changed, where it could not be stored. It overwrites scratch, and
 * what has been received: m's pointers are of no use afterwards. */
bool cpns_hold(cpns_pne_t *pne, uint32_t epoch, uint16_t index, const char *g, uint8_t g_len, const uint8_t key[32],
          uint8_t *scratch);

/* cpns_mirror_record stores what is held in the other slot too. */
bool cpns_mirror_record(cpns_pne_t *pne, uint8_t *scratch);

/* ---- line.c */

enum { LINE_SILENCE = 20, LINE_ANSWER = 600, LINE_SPREAD = 250 }; /* milliseconds */

void cpns_line_heard(cpns_pne_t *pne, const message_t *m);
void cpns_line_look_later(cpns_pne_t *pne);
uint32_t cpns_line_free_after(const cpns_pne_t *pne);

/* ---- pne.c */

/* cpns_send_said sends what was built at scratch + AT_SAID: false where the link does not take it. */
bool cpns_send_said(const cpns_pne_t *pne, uint8_t *scratch, size_t len);
void cpns_tell(const cpns_pne_t *pne, const cpns_event_t *event);

/* ---- frame.c */

/* unstuff decodes a frame without its zeros, in place: the length of the message,
 * or -1 where it is none. */
int cpns_unstuff(uint8_t *frame, size_t len);

#endif
