/* SPDX-License-Identifier: Apache-2.0
 *
 * Names as others want them: MQTT's topics (section 5), and the identity of an
 * application key (section 7). */
#include "internal.h"

/* A text_t is a text that is being put together; it has got too long where len is size. */
typedef struct {
	char *out;
	size_t size;
	size_t len;
} text_t;

static void put(text_t *t, char c)
{
	if (t->len < t->size)
		t->out[t->len++] = c;
}

static void put_text(text_t *t, const char *s)
{
	while (*s != '\0')
		put(t, *s++);
}

static bool plain(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '~';
}

/* put_name percent-encodes every byte that is neither plain nor the colon, where
 * that may stay. */
static void put_name(text_t *t, const char *name, bool colon)
{
	static const char digits[] = "0123456789ABCDEF";
	for (; *name != '\0'; name++) {
		unsigned c = (unsigned char)*name;
		if (plain(*name) || (colon && *name == ':')) {
			put(t, *name);
			continue;
		}
		put(t, '%');
		put(t, digits[c >> 4]);
		put(t, digits[c & 15]);
	}
}

static size_t finish(text_t *t)
{
	put(t, '\0');
	if (t->len == 0 || t->out[t->len - 1] != '\0')
		return 0;
	return t->len - 1;
}

static size_t topic(const char *prefix, const char *entity_id, const char *last, char *out, size_t size)
{
	text_t t = {out, size, 0};
	put_text(&t, prefix);
	if (entity_id != NULL) {
		put(&t, '/');
		put_name(&t, entity_id, true);
	}
	put_text(&t, last);
	return finish(&t);
}

size_t cpns_topic_down(const char *prefix, const char *entity_id, char *out, size_t size)
{
	return topic(prefix, entity_id, "/down", out, size);
}

size_t cpns_topic_up(const char *prefix, const char *entity_id, char *out, size_t size)
{
	return topic(prefix, entity_id, "/up", out, size);
}

size_t cpns_topic_identify(const char *prefix, char *out, size_t size)
{
	return topic(prefix, NULL, "/identify", out, size);
}

bool cpns_application_identity(const char *entity_id, char identity[CPNS_IDENTITY_SIZE])
{
	text_t t = {identity, CPNS_IDENTITY_SIZE, 0};
	put_name(&t, entity_id, false);
	return finish(&t) != 0;
}
