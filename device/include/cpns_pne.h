/* SPDX-License-Identifier: Apache-2.0
 *
 * cpns_pne.h: the PNE's half of CPNS-1, for microcontrollers.
 *
 * A PNE is a headless device that a gateway (PN GW) gives its EUKey to. This is
 * docs/protocol.md, section 4, "What a PNE does", with the frames and topics of
 * section 5 and the keys of section 7. It knows no link, clock, flash or random
 * generator: what it needs is handed in by cpns_config_t. It allocates nothing,
 * has no global state, and calls memcpy, memset and memcmp and the cryptography
 * of cpns_crypto.h, nothing else.
 *
 *     static cpns_pne_t pne;
 *     cpns_pne_init(&pne, &config, now());
 *     cpns_pne_link_up(&pne, now());
 *     for (;;) {
 *         n = uart_read(bytes);               // what has come in, also nothing
 *         cpns_pne_feed(&pne, now(), bytes, n);
 *         sleep_until_byte_or(cpns_pne_poll(&pne, now()));
 *     }
 *
 * Every call returns at once, but for the time that cryptography and the store
 * callback take. One device is for one thread. A callback may call the functions
 * that take a const cpns_pne_t *, and no other.
 *
 * Time is in milliseconds, 32 bits, from any origin, and may wrap. It must not go
 * backwards by itself; where it does, the time in between does not count.
 */
#ifndef CPNS_PNE_H
#define CPNS_PNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CPNS_X25519 0 leaves X25519 out: 2 kB of code, and 64 bytes of each device.
 * It must be the same for the library and for all that includes this file. */
#ifndef CPNS_X25519
#define CPNS_X25519 1
#endif

/* Sizes in bytes. */
enum {
	CPNS_NAME_MAX = 64,       /* of an Entity ID or gateway ID, without a NUL */
	CPNS_TK_MIN = 16,
	CPNS_TK_MAX = 64,
	CPNS_KEY_SIZE = 32,       /* of an EUKey, a session key, an application key */
	CPNS_MESSAGE_MAX = 256,   /* that is read; a gateway sends at most 247 */
	CPNS_SAID_MAX = 172,      /* of a message that a PNE says */
	CPNS_FRAME_MAX = CPNS_SAID_MAX + 5, /* the same in a frame */
	CPNS_RECORD_SIZE = 128,   /* of what is stored in a slot */
	CPNS_IDENTITY_SIZE = 129, /* of an application key's identity, with its NUL */
	CPNS_STUFFED_MAX = CPNS_MESSAGE_MAX + 4 /* between the zeros of a frame */
};

/* CPNS_NEVER is what cpns_pne_poll returns where only the link can bring something. */
#define CPNS_NEVER UINT32_MAX

/* cpns_link_t says what the link carries (section 5). */
typedef enum {
	CPNS_SERIAL,  /* a byte stream, in frames; others may be on the line too */
	CPNS_STREAM,  /* a byte stream of this device's own, in frames: USB bulk */
	CPNS_MESSAGES /* whole messages: MQTT */
} cpns_link_t;

/* cpns_kind_t says what has happened. In brackets: the fields of cpns_event_t
 * beside it. */
typedef enum {
	CPNS_IGNORED,       /* for another, or nothing that a PNE answers [type] */
	CPNS_MALFORMED,     /* not a message of the protocol */
	CPNS_REPEATED,      /* the same message again, given the same answer */
	CPNS_IDENTIFY,      /* the gateway asks who is there [everybody] */
	CPNS_STORED,        /* another EUKey is held [epoch, index] */
	CPNS_AUTHENTICATED, /* a challenge was answered [epoch, index proved] */
	CPNS_STAYED,        /* the gateway is authentic, the EUKey stays [epoch, index] */
	CPNS_REFUSED,       /* nothing was changed [status, why; epoch, index offered] */
	CPNS_HELLO,         /* a hello was said [epoch, index] */
	CPNS_NO_HELLO,      /* a hello was due and could not be said [why] */
	CPNS_RECORD_LOST,   /* something is stored, and cannot be used: see cpns_pne_init */
	CPNS_SLOT_FAILED    /* the second copy could not be stored; the first is good */
} cpns_kind_t;

/* cpns_why_t says why, for people. */
typedef enum {
	CPNS_WHY_NONE,
	CPNS_WHY_NO_HELLO_WAITS,     /* a notification that no hello waits for */
	CPNS_WHY_OTHER_GATEWAY,      /* a challenge of a gateway whose EUKey is not held */
	CPNS_WHY_NO_CHALLENGE_WAITS, /* an update that no challenge waits for */
	CPNS_WHY_DOES_NOT_OPEN,
	CPNS_WHY_STALE,              /* not the epoch and index that may follow */
	CPNS_WHY_CHAIN_BROKEN,       /* the EUKey does not lead back to the one held */
	CPNS_WHY_NOT_STORED,
	CPNS_WHY_RANDOM,             /* the random source, or the counter, failed */
	CPNS_WHY_CRYPTO,             /* the cryptography failed */
	CPNS_WHY_SEND                /* the link did not take it */
} cpns_why_t;

/* cpns_event_t tells what has happened. It holds no secret. */
typedef struct {
	uint8_t kind;   /* cpns_kind_t */
	uint8_t why;    /* cpns_why_t */
	uint8_t status; /* of the acknowledgement that said why: 1 to 4; 0 where it was silence */
	uint8_t type;   /* of the message */
	bool everybody; /* an identify that was not for this device alone */
	uint16_t index;
	uint32_t epoch;
} cpns_event_t;

/* cpns_config_t is what a device is made of. It, the Entity ID and TK must stay
 * where they are, in flash for instance: they are not copied.
 *
 * Callbacks that return an int return 0 where all went well. */
typedef struct {
	const char *entity_id; /* 1 to 64 characters, '!' to '~', ended by a NUL */
	const uint8_t *tk;     /* the Temporary Key */
	uint8_t tk_len;        /* 16 to 64 */
	uint8_t link;          /* cpns_link_t */
	bool x25519;           /* hellos carry an X25519 key; needs random */
	bool epoch_only;       /* load and store keep the highest epoch, and no key */

	void *user; /* given to every callback */

	/* send takes a frame, or a message, as link says, and must not keep data. Not
	 * 0: the link did not take it. Answers that are lost are asked for again; a
	 * hello is said again later. It must not wait for the other side. */
	int (*send)(void *user, const uint8_t *data, size_t len);

	/* random fills out from a cryptographic random source. Where there is none,
	 * random is NULL, and counter gives a value that it has never given before
	 * and never will again: what makes sure of that is stored before it returns.
	 * One of the two must be there. */
	int (*random)(void *user, uint8_t *out, size_t len);
	int (*counter)(void *user, uint64_t *value);

	/* The storage: two slots, 0 and 1, of CPNS_RECORD_SIZE bytes each. Both NULL:
	 * the EUKey is kept in memory only.
	 *
	 * load reads a slot. What was never written may read as anything. Not 0: it
	 * cannot be read.
	 *
	 * store replaces a slot, and nothing of the other, whatever happens. It must
	 * be durable once store returns 0: the gateway counts on it from then on. Torn
	 * by a power cut or a failure it may read as anything. */
	int (*load)(void *user, unsigned slot, uint8_t record[CPNS_RECORD_SIZE]);
	int (*store)(void *user, unsigned slot, const uint8_t record[CPNS_RECORD_SIZE]);

	/* event, where it is not NULL, is told what has happened, after the answer was sent. */
	void (*event)(void *user, const cpns_event_t *event);
} cpns_config_t;

/* cpns_pne_t is one device. Its members are the library's own. */
typedef struct {
	const cpns_config_t *config;

	struct { /* what outlives a power cut */
		uint32_t epoch; /* the highest ever taken, that of the EUKey held */
		uint16_t index; /* 0: no EUKey is held */
		uint8_t g_len;
		char g[CPNS_NAME_MAX];
		uint8_t key[CPNS_KEY_SIZE];
	} held;

	struct { /* the latest hello */
		uint32_t epoch; /* what it says is held */
		uint16_t index;
		bool waits; /* it was said, and is not spent */
		bool pair;  /* there is an X25519 pair */
		uint8_t nonce[16];
		uint8_t hash[32];
#if CPNS_X25519
		uint8_t private_key[32];
		uint8_t public_key[32];
#endif
	} hello;

	struct { /* the notification or update taken last */
		uint8_t type; /* 0: none */
		uint8_t hash[32];
		uint8_t context[32];
	} taken;

	struct { /* the challenge answered last */
		bool open;
		uint8_t rands[32]; /* rand-gw | rand-pne */
	} challenge;

	bool agreed; /* on session */
	uint8_t session[CPNS_KEY_SIZE];

	uint8_t slot; /* that the next record goes to */
	bool mirror;  /* the other slot does not hold the record yet */

	struct { /* when hellos are said; times are milliseconds from now, or ago */
		uint32_t now;
		uint32_t next;   /* until the hello that nobody asked for */
		uint32_t pause;  /* before next; 0: next is the first */
		uint32_t answer; /* until the answer to an identify */
		uint32_t made;   /* since the latest new hello */
		uint32_t jitter; /* spreads devices over the time, and guards nothing */
		bool next_due, answer_due, was_made;
	} schedule;

	struct { /* who else speaks on a serial line */
		uint32_t heard;  /* since the last byte */
		uint32_t hold;   /* while another may be answering */
		uint32_t look;   /* until the line is looked at again */
		uint32_t entity; /* a hash of whom the gateway waits for */
	} line;

	struct { /* the frame that is coming in */
		uint32_t dropped;
		uint16_t len;
		bool too_long;
		uint8_t bytes[CPNS_STUFFED_MAX];
	} rx;
} cpns_pne_t;

/* cpns_result_t says what cpns_pne_init did not like. */
typedef enum {
	CPNS_OK,
	CPNS_BAD_ENTITY_ID, /* empty, longer than 64, or not '!' to '~' */
	CPNS_BAD_TK,        /* not 16 to 64 bytes */
	CPNS_BAD_RANDOM,    /* neither random nor counter, or both, or X25519 without random */
	CPNS_BAD_STORAGE,   /* load without store, or store without load */
	CPNS_BAD_CONFIG,    /* no send, no such link, X25519 that is not built in */
	CPNS_BAD_CRYPTO     /* the cryptography failed */
} cpns_result_t;

/* cpns_pne_init makes a device that has just been switched on, and loads what it
 * holds. Where both slots cannot be used, and one holds something, the event is
 * CPNS_RECORD_LOST, and the device goes on without an EUKey: it says so, and is
 * given the next one. */
cpns_result_t cpns_pne_init(cpns_pne_t *pne, const cpns_config_t *config, uint32_t now);

/* cpns_pne_link_up is called once the link can carry messages, and each time that
 * it can again: a hello is due. */
void cpns_pne_link_up(cpns_pne_t *pne, uint32_t now);

/* cpns_pne_feed takes the next bytes of a byte stream: any number, any pieces. */
void cpns_pne_feed(cpns_pne_t *pne, uint32_t now, const void *data, size_t len);

/* cpns_pne_message takes one message of a link that carries messages. */
void cpns_pne_message(cpns_pne_t *pne, uint32_t now, const void *message, size_t len);

/* cpns_pne_poll does what is due, and returns after how many milliseconds it wants
 * to be called again: at the latest, and after each feed or message, which
 * may have changed it. CPNS_NEVER where nothing is due. */
uint32_t cpns_pne_poll(cpns_pne_t *pne, uint32_t now);

/* cpns_pne_held tells which EUKey is held: false where none is. gateway has room
 * for CPNS_NAME_MAX + 1 characters, or is NULL. */
bool cpns_pne_held(const cpns_pne_t *pne, uint32_t *epoch, uint16_t *index, char *gateway);

/* cpns_pne_session_key gives the key that the last mutual authentication has left
 * with both sides: false where there is none. The caller wipes it. */
bool cpns_pne_session_key(const cpns_pne_t *pne, uint8_t key[CPNS_KEY_SIZE]);

/* cpns_pne_application_key gives what an application gets of the session key
 * (section 7): false where there is none, or label is longer than 64 characters. */
bool cpns_pne_application_key(const cpns_pne_t *pne, const char *label, uint8_t key[CPNS_KEY_SIZE]);
#define CPNS_TLS13_PSK "tls13-psk" /* label: TLS 1.3, SHA-256, psk_dhe_ke only */
#define CPNS_TLS12_PSK "tls12-psk" /* label: TLS 1.2, ECDHE_PSK suites only */

/* cpns_pne_dropped counts frames that were thrown away: noise, mostly. */
uint32_t cpns_pne_dropped(const cpns_pne_t *pne);

/* cpns_pne_wipe overwrites the device, and with it every key that it holds. */
void cpns_pne_wipe(cpns_pne_t *pne);

/* cpns_wipe overwrites what a compiler might think nobody reads again. */
void cpns_wipe(void *data, size_t len);

/* cpns_equal compares in a time that depends on len alone. */
bool cpns_equal(const void *a, const void *b, size_t len);

/* cpns_application_identity writes the identity of an Entity ID's application keys,
 * and a NUL: false where it would be longer than 128 characters. */
bool cpns_application_identity(const char *entity_id, char identity[CPNS_IDENTITY_SIZE]);

/* MQTT's topics under a prefix, "cpns" unless configured. out has size characters,
 * the NUL included: prefix, 192 and 7 more always do. They return the length, or 0 where
 * it does not fit. A PNE subscribes to down and identify, QoS 1, and publishes
 * to up, QoS 1, not retained. */
size_t cpns_topic_down(const char *prefix, const char *entity_id, char *out, size_t size);
size_t cpns_topic_up(const char *prefix, const char *entity_id, char *out, size_t size);
size_t cpns_topic_identify(const char *prefix, char *out, size_t size);

/* cpns_frame makes a frame of a message of at most CPNS_SAID_MAX bytes, which
 * stands at buf + 2, in buf, and returns its length. */
size_t cpns_frame(uint8_t buf[CPNS_FRAME_MAX], size_t len);

#ifdef __cplusplus
}
#endif

#endif
