/* SPDX-License-Identifier: Apache-2.0
 *
 * What the protocol needs of CBOR. Only the shortest form of a number counts
 * (RFC 8949, 4.2.1), and lengths are definite. */
#include "internal.h"

/* cpns_read_raw gives the next size bytes; NULL, and bad, where they are not there. */
uint8_t *cpns_read_raw(reader_t *r, size_t size)
{
	if (r->bad || (size_t)(r->end - r->at) < size) {
		r->bad = true;
		return NULL;
	}
	uint8_t *p = r->at;
	r->at += size;
	return p;
}

/* cpns_read_head reads the head of an item of that major type, and returns its argument. */
uint64_t cpns_read_head(reader_t *r, unsigned major)
{
	const uint8_t *first = cpns_read_raw(r, 1);
	if (first == NULL || *first >> 5 != major) {
		r->bad = true;
		return 0;
	}
	unsigned info = *first & 31u;
	if (info < 24)
		return info;
	if (info > 27) { /* indefinite, or nothing */
		r->bad = true;
		return 0;
	}
	size_t size = (size_t)1 << (info - 24);
	const uint8_t *p = cpns_read_raw(r, size);
	if (p == NULL)
		return 0;
	uint64_t value = 0;
	for (size_t i = 0; i < size; i++)
		value = value << 8 | p[i];
	/* The form before must have been too short: 23, or half as many bytes. */
	if (size == 1 ? value < 24 : value >> (size * 4) == 0)
		r->bad = true;
	return value;
}

uint32_t cpns_read_unsigned(reader_t *r, uint32_t max)
{
	uint64_t value = cpns_read_head(r, MAJOR_UNSIGNED);
	if (value > max) {
		r->bad = true;
		return 0;
	}
	return (uint32_t)value;
}

uint8_t *cpns_read_bytes(reader_t *r, size_t size)
{
	if (cpns_read_head(r, MAJOR_BYTES) != size)
		r->bad = true;
	return cpns_read_raw(r, size);
}

/* cpns_read_exactly reads bytes that can be no others. */
void cpns_read_exactly(reader_t *r, const void *want, size_t size)
{
	const uint8_t *p = cpns_read_raw(r, size);
	if (p == NULL || memcmp(p, want, size) != 0)
		r->bad = true;
}

/* cpns_read_null reads a null, if the next item is one. */
bool cpns_read_null(reader_t *r)
{
	if (r->bad || r->at == r->end || *r->at != 0xf6)
		return false;
	r->at++;
	return true;
}

void cpns_write_raw(writer_t *w, const void *data, size_t size)
{
	if (size > w->size - w->len)
		return;
	memcpy(w->start + w->len, data, size);
	w->len += size;
}

void cpns_write_head(writer_t *w, unsigned major, uint32_t value)
{
	uint8_t head[5];
	size_t size = value < 24 ? 0 : value < 0x100 ? 1 : value < 0x10000 ? 2 : 4;
	uint8_t info = size == 0 ? (uint8_t)value : size == 1 ? 24 : size == 2 ? 25 : 26;
	head[0] = (uint8_t)(major << 5 | info);
	for (size_t i = 0; i < size; i++)
		head[1 + i] = (uint8_t)(value >> 8 * (size - 1 - i));
	cpns_write_raw(w, head, 1 + size);
}

void cpns_write_bytes(writer_t *w, const void *data, size_t size)
{
	cpns_write_head(w, MAJOR_BYTES, (uint32_t)size);
	cpns_write_raw(w, data, size);
}

void cpns_write_text(writer_t *w, const char *text, size_t size)
{
	cpns_write_head(w, MAJOR_TEXT, (uint32_t)size);
	cpns_write_raw(w, text, size);
}
