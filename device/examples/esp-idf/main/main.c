/* SPDX-License-Identifier: Apache-2.0
 *
 * A PNE on ESP-IDF: a UART to the gateway, a partition for its EUKey, Mbed TLS for its
 * cryptography. README.md says how far it was tried.
 *
 * The partition's first block is the factory's: "CPNSFACT", the lengths of Entity ID and
 * TK, 6 zeros, 64 bytes of Entity ID, 64 of TK. The slots are in the two blocks behind it. */
#include <string.h>

#include <driver/uart.h>
#include <esp_log.h>
#include <esp_partition.h>
#include <esp_timer.h>
#include <freertos/FreeRTOS.h>
#include <psa/crypto.h>

#include "cpns_flash.h"
#include "cpns_pne.h"
#include "event_names.h"

static const uart_port_t LINE = UART_NUM_1;
enum { TX_PIN = 4, RX_PIN = 5, BLOCK = 4096, LONGEST_WAIT_MS = 1000 };

static const char *const tag = "cpns";
static const esp_partition_t *partition;

static struct {
	uint8_t magic[8], entity_len, tk_len, zeros[6];
	char entity[CPNS_NAME_MAX];
	uint8_t tk[CPNS_TK_MAX];
} factory;

static char entity_id[CPNS_NAME_MAX + 1];
static cpns_pne_t pne;

static uint32_t now(void)
{
	return (uint32_t)(esp_timer_get_time() / 1000);
}

static int erase_block(void *driver, uint32_t offset)
{
	(void)driver;
	return esp_partition_erase_range(partition, offset, BLOCK) == ESP_OK ? 0 : -1;
}

static int program_block(void *driver, uint32_t offset, const void *data, uint32_t len)
{
	(void)driver;
	return esp_partition_write(partition, offset, data, len) == ESP_OK ? 0 : -1;
}

static int read_block(void *driver, uint32_t offset, void *data, uint32_t len)
{
	(void)driver;
	return esp_partition_read(partition, offset, data, len) == ESP_OK ? 0 : -1;
}

static cpns_flash_t flash = {
	.offset = BLOCK,
	.block_size = BLOCK,
	.erase = erase_block,
	.program = program_block,
	.read = read_block,
};

static int on_send(void *user, const uint8_t *data, size_t len)
{
	(void)user;
	return uart_write_bytes(LINE, data, len) == (int)len ? 0 : -1; /* into the driver's buffer */
}

static int on_random(void *user, uint8_t *out, size_t len)
{
	(void)user;
	return psa_generate_random(out, len) == PSA_SUCCESS ? 0 : -1;
}

static void on_event(void *user, const cpns_event_t *e)
{
	(void)user;
	ESP_LOGI(tag, "%s epoch %lu index %u why %u status %u", event_name(e->kind), (unsigned long)e->epoch, e->index, e->why, e->status);
}

static cpns_config_t config = {
	.entity_id = entity_id,
	.tk = factory.tk,
	.link = CPNS_SERIAL,
	.x25519 = true,
	.user = &flash,
	.send = on_send,
	.random = on_random,
	.load = cpns_flash_load,
	.store = cpns_flash_store,
	.event = on_event,
};

static void open_line(void)
{
	const uart_config_t settings = {
		.baud_rate = 115200,
		.data_bits = UART_DATA_8_BITS,
		.parity = UART_PARITY_DISABLE,
		.stop_bits = UART_STOP_BITS_1,
	};
	ESP_ERROR_CHECK(uart_driver_install(LINE, 1024, 512, 0, NULL, 0));
	ESP_ERROR_CHECK(uart_param_config(LINE, &settings));
	ESP_ERROR_CHECK(uart_set_pin(LINE, TX_PIN, RX_PIN, UART_PIN_NO_CHANGE, UART_PIN_NO_CHANGE));
}

void app_main(void)
{
	partition = esp_partition_find_first(ESP_PARTITION_TYPE_DATA, 0x40, "cpns");
	if (partition == NULL || read_block(NULL, 0, &factory, sizeof factory) != 0 || memcmp(factory.magic, "CPNSFACT", 8) != 0 ||
	    factory.entity_len > CPNS_NAME_MAX) {
		ESP_LOGE(tag, "no Entity ID and TK in the first block of the partition cpns");
		return;
	}
	memcpy(entity_id, factory.entity, factory.entity_len);
	config.tk_len = factory.tk_len;
	if (psa_crypto_init() != PSA_SUCCESS || cpns_pne_init(&pne, &config, now()) != CPNS_OK) {
		ESP_LOGE(tag, "not a device");
		return;
	}
	open_line();
	cpns_pne_link_up(&pne, now());
	for (;;) {
		uint8_t bytes[128];
		uint32_t wait = cpns_pne_poll(&pne, now());
		/* It returns with the first byte, too: one at a time is read, then what is there. */
		int n = uart_read_bytes(LINE, bytes, 1, pdMS_TO_TICKS(wait < LONGEST_WAIT_MS ? wait : LONGEST_WAIT_MS));
		if (n <= 0)
			continue;
		size_t more = 0;
		uart_get_buffered_data_len(LINE, &more);
		if (more > sizeof bytes - 1)
			more = sizeof bytes - 1;
		int rest = more != 0 ? uart_read_bytes(LINE, bytes + 1, more, 0) : 0;
		cpns_pne_feed(&pne, now(), bytes, (size_t)(1 + (rest > 0 ? rest : 0)));
	}
}
