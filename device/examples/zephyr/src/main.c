/* SPDX-License-Identifier: Apache-2.0
 *
 * A PNE on Zephyr: a UART to the gateway, storage_partition for its EUKey, Mbed TLS for
 * its cryptography. README.md says where it ran.
 *
 * The partition's first block is the factory's: "CPNSFACT", the lengths of Entity ID and
 * TK, 6 zeros, 64 bytes of Entity ID, 64 of TK. The slots are in the two blocks behind it. */
#include <string.h>

#include <psa/crypto.h>
#include <zephyr/device.h>
#include <zephyr/drivers/uart.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>
#include <zephyr/storage/flash_map.h>
#include <zephyr/sys/ring_buffer.h>

#include "cpns_flash.h"
#include "cpns_pne.h"
#include "event_names.h"

LOG_MODULE_REGISTER(cpns, LOG_LEVEL_INF);

static const struct device *const line = DEVICE_DT_GET(DT_CHOSEN(cpns_uart));
static const struct flash_area *area;

RING_BUF_DECLARE(received, 512);
static K_SEM_DEFINE(arrived, 0, 1);

static struct {
	uint8_t magic[8], entity_len, tk_len, zeros[6];
	char entity[CPNS_NAME_MAX];
	uint8_t tk[CPNS_TK_MAX];
} factory;

static char entity_id[CPNS_NAME_MAX + 1];
static cpns_pne_t pne;
static cpns_flash_t flash;

static int erase_block(void *driver, uint32_t offset)
{
	ARG_UNUSED(driver);
	return flash_area_erase(area, offset, flash.block_size);
}

static int program_block(void *driver, uint32_t offset, const void *data, uint32_t len)
{
	ARG_UNUSED(driver);
	return flash_area_write(area, offset, data, len);
}

static int read_block(void *driver, uint32_t offset, void *data, uint32_t len)
{
	ARG_UNUSED(driver);
	return flash_area_read(area, offset, data, len);
}

static int on_send(void *user, const uint8_t *data, size_t len)
{
	ARG_UNUSED(user);
	while (len-- != 0)
		uart_poll_out(line, *data++);
	return 0;
}

static int on_random(void *user, uint8_t *out, size_t len)
{
	ARG_UNUSED(user);
	return psa_generate_random(out, len) == PSA_SUCCESS ? 0 : -1;
}

static void on_event(void *user, const cpns_event_t *e)
{
	ARG_UNUSED(user);
	LOG_INF("%s epoch %u index %u why %u status %u", event_name(e->kind), (unsigned)e->epoch, e->index, e->why, e->status);
}

static void on_uart(const struct device *dev, void *user)
{
	uint8_t bytes[32];
	ARG_UNUSED(user);
	while (uart_irq_update(dev) && uart_irq_rx_ready(dev)) {
		int n = uart_fifo_read(dev, bytes, sizeof bytes);
		if (n <= 0)
			break;
		ring_buf_put(&received, bytes, n); /* what does not fit is noise, and is asked for again */
	}
	k_sem_give(&arrived);
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

int main(void)
{
	struct flash_sector first;
	uint32_t sectors = 1;
	if (flash_area_open(FIXED_PARTITION_ID(storage_partition), &area) != 0)
		return -1;
	int found = flash_area_get_sectors(FIXED_PARTITION_ID(storage_partition), &sectors, &first);
	if ((found != 0 && found != -ENOMEM) || flash_area_read(area, 0, &factory, sizeof factory) != 0)
		return -1;
	if (memcmp(factory.magic, "CPNSFACT", 8) != 0 || factory.entity_len > CPNS_NAME_MAX) {
		LOG_ERR("no Entity ID and TK in the first block of storage_partition");
		return -1;
	}
	memcpy(entity_id, factory.entity, factory.entity_len);
	config.tk_len = factory.tk_len;
	flash = (cpns_flash_t){
		.offset = first.fs_size,
		.block_size = first.fs_size,
		.erase = erase_block,
		.program = program_block,
		.read = read_block,
	};
	if (psa_crypto_init() != PSA_SUCCESS || !device_is_ready(line) || cpns_pne_init(&pne, &config, k_uptime_get_32()) != CPNS_OK) {
		LOG_ERR("not a device");
		return -1;
	}
	uart_irq_callback_set(line, on_uart);
	uart_irq_rx_enable(line);
	cpns_pne_link_up(&pne, k_uptime_get_32());
	for (;;) {
		uint8_t bytes[64];
		uint32_t n = ring_buf_get(&received, bytes, sizeof bytes);
		cpns_pne_feed(&pne, k_uptime_get_32(), bytes, n);
		uint32_t wait = cpns_pne_poll(&pne, k_uptime_get_32());
		if (n == 0)
			k_sem_take(&arrived, wait == CPNS_NEVER ? K_FOREVER : K_MSEC(wait));
	}
}
