/* SPDX-License-Identifier: Apache-2.0
 *
 * A PNE on a device that has POSIX: on a serial line, or on an MQTT broker by
 * libmosquitto. One thread, one loop: what comes in is fed, then the library is asked how
 * long to wait.
 * Its options are below, as --help says them.
 *
 * Standard output has a line for each event, standard error one for each fault of the
 * link, once until the link is up again. It ends on SIGTERM, with 0. */
#define _DEFAULT_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <mosquitto.h>
#ifdef CPNS_PSA
#include <psa/crypto.h>
#endif

#include "cpns_file.h"
#include "cpns_pne.h"
#include "event_names.h"

enum { RETRY_MS = 1000, IDLE_MS = 500, TOPIC_SIZE = 256 };

static const char usage[] =
	"usage: pne-posix --entity-id ID --tk-file FILE [OPTIONS] --serial DEVICE | --mqtt HOST:PORT\n"
	"  --entity-id ID     its name, 1 to 64 characters from ! to ~\n"
	"  --tk-file FILE     its TK, 16 to 64 bytes in hex; nobody else may read the file\n"
	"  --serial DEVICE    a serial line, 115200 baud\n"
	"  --mqtt HOST:PORT   a broker, without TLS; the port is 1883 if there is none\n"
	"  --state FILE       keeps the EUKey through a power cut; without, in memory only\n"
	"  --x25519           X25519 with each hello\n"
	"  --help             says this\n";

static volatile sig_atomic_t ended;

static struct {
	const char *entity_id, *tk_file, *state, *serial;
	char *broker; /* host, and port behind it */
	int port;
	bool x25519;
} options;

static uint8_t tk[CPNS_TK_MAX];
static cpns_pne_t pne;
static cpns_file_t file;
static int line = -1;
static struct mosquitto *mqtt;
static char topic_up[TOPIC_SIZE], topic_down[TOPIC_SIZE], topic_identify[TOPIC_SIZE];

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "pne-posix: %s: %s\n", what, why);
	exit(1);
}

static char latest_fault[256];

/* fault says why the link is down, but not again what it said last. */
static void fault(const char *link, const char *why)
{
	char text[sizeof latest_fault];
	snprintf(text, sizeof text, "%s: %s", link, why);
	if (strcmp(text, latest_fault) == 0)
		return;
	strcpy(latest_fault, text);
	fprintf(stderr, "pne-posix: %s; trying again\n", text);
}

static uint32_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000);
}

static void on_event(void *user, const cpns_event_t *e)
{
	(void)user;
	printf("%s epoch %" PRIu32 " index %u why %u status %u\n", event_name(e->kind), e->epoch, e->index, e->why, e->status);
	fflush(stdout);
}

static int on_random(void *user, uint8_t *out, size_t len)
{
	(void)user;
	return getentropy(out, len); /* at most 256 bytes at a time, and 32 are asked for */
}

/* ---- A serial line. */

static int send_line(void *user, const uint8_t *data, size_t len)
{
	(void)user;
	return line >= 0 && write(line, data, len) == (ssize_t)len ? 0 : -1;
}

static void close_line(void)
{
	close(line);
	line = -1;
}

static void open_line(void)
{
	struct termios t;
	line = open(options.serial, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (line < 0) {
		fault(options.serial, strerror(errno));
		return;
	}
	if (tcgetattr(line, &t) != 0) {
		fault(options.serial, "not a serial line");
		close_line();
		return;
	}
	cfmakeraw(&t);
	t.c_cflag |= CLOCAL | CREAD;
	cfsetspeed(&t, B115200);
	tcsetattr(line, TCSANOW, &t);
	tcflush(line, TCIFLUSH);
	latest_fault[0] = '\0';
	cpns_pne_link_up(&pne, now());
}

static void read_line(int timeout)
{
	struct pollfd p = {.fd = line, .events = POLLIN};
	uint8_t bytes[256];
	if (poll(&p, line >= 0 ? 1 : 0, timeout) <= 0)
		return;
	ssize_t n = read(line, bytes, sizeof bytes);
	if (n > 0)
		cpns_pne_feed(&pne, now(), bytes, (size_t)n);
	else if (n == 0 || errno != EAGAIN) { /* unplugged */
		fault(options.serial, n == 0 ? "its other end is gone" : strerror(errno));
		close_line();
	}
}

/* ---- A broker. */

static bool refused; /* by the broker, which has said why */

static int send_mqtt(void *user, const uint8_t *data, size_t len)
{
	(void)user;
	return mosquitto_publish(mqtt, NULL, topic_up, (int)len, data, 1, false) == MOSQ_ERR_SUCCESS ? 0 : -1;
}

static void on_connect(struct mosquitto *m, void *user, int code)
{
	(void)user;
	if (code != 0) {
		refused = true;
		fault(options.broker, mosquitto_connack_string(code));
		return;
	}
	mosquitto_subscribe(m, NULL, topic_down, 1);
	mosquitto_subscribe(m, NULL, topic_identify, 1);
}

/* The link is up once both subscriptions are: what is said before has no answer. */
static void on_subscribe(struct mosquitto *m, void *user, int id, int count, const int *granted)
{
	static int subscribed;
	(void)m, (void)user, (void)id, (void)count, (void)granted;
	if (++subscribed % 2 != 0)
		return;
	latest_fault[0] = '\0';
	cpns_pne_link_up(&pne, now());
}

static void on_message(struct mosquitto *m, void *user, const struct mosquitto_message *message)
{
	(void)m, (void)user;
	if (message->payloadlen > 0)
		cpns_pne_message(&pne, now(), message->payload, (size_t)message->payloadlen);
}

static void open_mqtt(void)
{
	mosquitto_lib_init();
	mqtt = mosquitto_new(NULL, true, NULL);
	if (mqtt == NULL)
		fail("libmosquitto", strerror(errno));
	mosquitto_connect_callback_set(mqtt, on_connect);
	mosquitto_subscribe_callback_set(mqtt, on_subscribe);
	mosquitto_message_callback_set(mqtt, on_message);
	if (cpns_topic_up("cpns", options.entity_id, topic_up, sizeof topic_up) == 0 ||
	    cpns_topic_down("cpns", options.entity_id, topic_down, sizeof topic_down) == 0 ||
	    cpns_topic_identify("cpns", topic_identify, sizeof topic_identify) == 0)
		fail("topics", "too long");
}

static void pause_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

static void read_mqtt(int timeout)
{
	static bool connected;
	int result = MOSQ_ERR_SUCCESS;
	if (!connected) {
		refused = false;
		result = mosquitto_connect(mqtt, options.broker, options.port, 30);
		connected = result == MOSQ_ERR_SUCCESS;
	}
	if (connected)
		result = mosquitto_loop(mqtt, timeout, 1);
	if (result == MOSQ_ERR_SUCCESS)
		return;
	connected = false;
	if (!refused && !ended)
		fault(options.broker, result == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(result));
	pause_ms(RETRY_MS);
}

/* ---- The rest. */

static void on_signal(int signal)
{
	(void)signal;
	ended = 1;
}

/* claim_state writes the device's name behind the two slots of a new file, and refuses
 * the file of another device: what is in there is no record to this one, which would
 * put its own over it. */
static void claim_state(void)
{
	enum { OWNER_AT = 8192 };
	char owner[CPNS_NAME_MAX + 1], own[CPNS_NAME_MAX + 1] = "";
	size_t len = strlen(options.entity_id);
	if (len > CPNS_NAME_MAX)
		return; /* cpns_pne_init says so */
	memcpy(own, options.entity_id, len);
	ssize_t n = pread(file.fd, owner, sizeof owner, OWNER_AT);
	if (n < 0)
		fail(options.state, strerror(errno));
	if (n < (ssize_t)sizeof owner || owner[0] == '\0') {
		if (pwrite(file.fd, own, sizeof own, OWNER_AT) != (ssize_t)sizeof own || fdatasync(file.fd) != 0)
			fail(options.state, strerror(errno));
	} else if (memcmp(owner, own, sizeof own) != 0) {
		fail(options.state, "this is the state of another device: give each device a file of its own");
	}
}

static size_t read_tk(void)
{
	char text[2 * CPNS_TK_MAX + 2];
	struct stat info;
	int fd = open(options.tk_file, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &info) != 0)
		fail(options.tk_file, strerror(errno));
	if ((info.st_mode & 077) != 0)
		fail(options.tk_file, "others may read it: chmod 600");
	ssize_t n = read(fd, text, sizeof text);
	close(fd);
	size_t len = 0;
	for (ssize_t i = 0; i + 1 < n && text[i] != '\n' && len < sizeof tk; i += 2) {
		unsigned value;
		char digits[3] = {text[i], text[i + 1], '\0'};
		if (sscanf(digits, "%2x", &value) != 1)
			fail(options.tk_file, "not 16 to 64 bytes in hex");
		tk[len++] = (uint8_t)value;
	}
	cpns_wipe(text, sizeof text);
	return len;
}

/* parse_broker takes HOST:PORT apart. */
static void parse_broker(void)
{
	char *colon = strrchr(options.broker, ':'), *end = NULL;
	options.port = 1883;
	if (strstr(options.broker, "://") != NULL)
		fail(options.broker, "--mqtt takes HOST:PORT, with no scheme before it");
	if (colon == NULL)
		return;
	long port = strtol(colon + 1, &end, 10);
	if (colon[1] == '\0' || *end != '\0' || port < 1 || port > 65535)
		fail(options.broker, "--mqtt takes HOST:PORT, with a port from 1 to 65535");
	options.port = (int)port;
	*colon = '\0';
}

static void parse(int argc, char **argv)
{
	if (argc == 1) {
		fputs(usage, stderr);
		exit(1);
	}
	for (int i = 1; i < argc; i++) {
		const char *o = argv[i];
		char *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (strcmp(o, "--x25519") == 0) {
			options.x25519 = true;
			continue;
		}
		if (strcmp(o, "--help") == 0 || strcmp(o, "-h") == 0) {
			fputs(usage, stdout);
			exit(0);
		}
		if (value == NULL)
			fail(o, "unknown, or without a value: see --help");
		i++;
		if (strcmp(o, "--entity-id") == 0)
			options.entity_id = value;
		else if (strcmp(o, "--tk-file") == 0)
			options.tk_file = value;
		else if (strcmp(o, "--state") == 0)
			options.state = value;
		else if (strcmp(o, "--serial") == 0)
			options.serial = value;
		else if (strcmp(o, "--mqtt") == 0)
			options.broker = value;
		else
			fail(o, "no such option: see --help");
	}
	if (options.entity_id == NULL || options.tk_file == NULL)
		fail("--entity-id and --tk-file", "one is missing: see --help");
	if ((options.serial == NULL) == (options.broker == NULL))
		fail("--serial or --mqtt", "give one of them");
	if (options.broker != NULL)
		parse_broker();
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	parse(argc, argv);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	/* No key is to reach the disk by a core file or by swapping. */
	if (setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) != 0)
		fail("core files", strerror(errno));
	(void)mlock(tk, sizeof tk);
	(void)mlock(&pne, sizeof pne);
#ifdef CPNS_PSA
	if (psa_crypto_init() != PSA_SUCCESS)
		fail("PSA Crypto", "does not start");
#endif
	cpns_config_t config = {
		.entity_id = options.entity_id,
		.tk = tk,
		.tk_len = (uint8_t)read_tk(),
		.link = options.serial != NULL ? CPNS_SERIAL : CPNS_MESSAGES,
		.x25519 = options.x25519,
		.send = options.serial != NULL ? send_line : send_mqtt,
		.random = on_random,
		.event = on_event,
	};
	if (options.state != NULL) {
		int error = cpns_file_open(&file, options.state);
		if (error != 0)
			fail(options.state, error == EPERM ? "others may read it: chmod 600" : strerror(error));
		claim_state();
		config.user = &file;
		config.load = cpns_file_load;
		config.store = cpns_file_store;
	}
	cpns_result_t result = cpns_pne_init(&pne, &config, now());
	if (result != CPNS_OK)
		fail(options.entity_id, result == CPNS_BAD_TK ? "its TK is not of 16 to 64 bytes" : "not 1 to 64 characters from ! to ~");
	if (options.broker != NULL)
		open_mqtt();
	while (!ended) {
		uint32_t wait = cpns_pne_poll(&pne, now());
		int timeout = wait < IDLE_MS ? (int)wait : IDLE_MS;
		if (options.broker != NULL) {
			read_mqtt(timeout);
			continue;
		}
		if (line < 0)
			open_line();
		if (line < 0)
			pause_ms(RETRY_MS);
		read_line(timeout);
	}
	cpns_pne_wipe(&pne);
	cpns_wipe(tk, sizeof tk);
	return 0;
}
