/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls every function of the library, and has no board below it: what is linked is what
 * the library takes, with BearSSL's primitives and the C library's memcpy, memset and
 * memcmp. It is never run. */
#include "cpns_pne.h"

static cpns_pne_t pne;
extern const cpns_config_t config;
const cpns_config_t config = {.entity_id = "e"};

void every_function(void);
int main(void);

__attribute__((section(".vectors"))) void every_function(void)
{
	uint8_t bytes[CPNS_MESSAGE_MAX];
	char text[300];
	uint32_t epoch;
	uint16_t index;
	cpns_pne_init(&pne, &config, 0);
	cpns_pne_link_up(&pne, 0);
	cpns_pne_feed(&pne, 0, bytes, sizeof bytes);
	cpns_pne_message(&pne, 0, bytes, sizeof bytes);
	cpns_pne_poll(&pne, 0);
	cpns_pne_held(&pne, &epoch, &index, text);
	cpns_pne_session_key(&pne, bytes);
	cpns_pne_application_key(&pne, CPNS_TLS13_PSK, bytes);
	cpns_pne_dropped(&pne);
	cpns_pne_wipe(&pne);
	cpns_application_identity("e", text);
	cpns_topic_down("cpns", "e", text, sizeof text);
	cpns_topic_up("cpns", "e", text, sizeof text);
	cpns_topic_identify("cpns", text, sizeof text);
}
