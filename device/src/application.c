/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys for applications (section 7). */
#include "internal.h"

bool cpns_pne_session_key(const cpns_pne_t *pne, uint8_t key[CPNS_KEY_SIZE])
{
	if (!pne->agreed)
		return false;
	memcpy(key, pne->session, CPNS_KEY_SIZE);
	return true;
}

bool cpns_pne_application_key(const cpns_pne_t *pne, const char *label, uint8_t key[CPNS_KEY_SIZE])
{
	size_t len = 0;
	while (len <= CPNS_NAME_MAX && label[len] != '\0')
		len++;
	if (!pne->agreed || len > CPNS_NAME_MAX)
		return false;
	cpns_bytes_t secret = piece(pne->session, sizeof pne->session);
	/* The NUL of the first is the zero between the two. */
	cpns_bytes_t info[2] = {piece("CPNS Application", 17), piece(label, len)};
	return cpns_hkdf(key, &secret, 1, piece("", 0), info, 2) == 0;
}
