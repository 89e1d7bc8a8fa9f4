/* SPDX-License-Identifier: Apache-2.0 */
#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define UART(n, offset) REGISTER(0x40004000u + 0x1000u * (unsigned)(n) + (offset))
enum { UART_DATA = 0, UART_STATE = 4, UART_CTRL = 8, UART_BAUDDIV = 16 };
enum { TX_FULL = 1, RX_FULL = 2, TX_ENABLE = 1, RX_ENABLE = 2 };

#define SYSTICK_CTRL REGISTER(0xe000e010u)
#define SYSTICK_LOAD REGISTER(0xe000e014u)

enum { CLOCK = 25000000, BAUD = 115200 };

static volatile uint8_t *const flash = (volatile uint8_t *)(uintptr_t)0x21000000u;

extern uint32_t data_begin, data_end, data_load, bss_begin, bss_end, stack_top;
int main(void);
void reset(void);
void tick(void);
void stuck(void);

static volatile uint32_t milliseconds;

void reset(void)
{
	for (uint32_t *from = &data_load, *to = &data_begin; to < &data_end;)
		*to++ = *from++;
	for (uint32_t *p = &bss_begin; p < &bss_end;)
		*p++ = 0;
	main();
	stuck();
}

void tick(void)
{
	milliseconds++;
}

void stuck(void)
{
	print("stuck\r\n");
	for (;;)
		;
}

typedef void (*handler_t)(void);

__attribute__((section(".vectors"), used)) static const handler_t vectors[16] = {
	(handler_t)(void *)&stack_top,
	reset,
	stuck, stuck, stuck, stuck, stuck, /* NMI and faults */
	0, 0, 0, 0,
	stuck, stuck, 0, stuck,
	tick,
};

void board_start(void)
{
	for (int n = LINE; n <= CONSOLE; n++) {
		UART(n, UART_BAUDDIV) = CLOCK / BAUD;
		UART(n, UART_CTRL) = TX_ENABLE | RX_ENABLE;
	}
	SYSTICK_LOAD = CLOCK / 1000 - 1;
	SYSTICK_CTRL = 7; /* on, with its interrupt, by the processor's clock */
}

uint32_t board_now(void)
{
	return milliseconds;
}

void board_sleep(void)
{
	__asm__ volatile("wfi");
}

size_t uart_read(int uart, uint8_t *data, size_t size)
{
	size_t n = 0;
	while (n < size && (UART(uart, UART_STATE) & RX_FULL) != 0)
		data[n++] = (uint8_t)UART(uart, UART_DATA);
	return n;
}

void uart_write(int uart, const uint8_t *data, size_t len)
{
	for (; len != 0; len--) {
		while ((UART(uart, UART_STATE) & TX_FULL) != 0)
			;
		UART(uart, UART_DATA) = *data++;
	}
}

void print(const char *text)
{
	for (; *text != '\0'; text++)
		uart_write(CONSOLE, (const uint8_t *)text, 1);
}

void print_number(uint32_t n)
{
	char digits[11];
	size_t i = sizeof digits;
	digits[--i] = '\0';
	do
		digits[--i] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	print(digits + i);
}

/* board_off ends QEMU, by semihosting. */
void board_off(void)
{
	register uint32_t operation __asm__("r0") = 0x18;
	register uint32_t reason __asm__("r1") = 0x20026;
	__asm__ volatile("bkpt 0xab" : : "r"(operation), "r"(reason) : "memory");
}

static void wait(uint32_t ms)
{
	for (uint32_t from = board_now(); board_now() - from < ms;)
		board_sleep();
}

int flash_erase(void *driver, uint32_t offset)
{
	(void)driver;
	if (offset % FLASH_BLOCK != 0 || offset >= FLASH_SIZE)
		return -1;
	for (uint32_t i = 0; i < FLASH_BLOCK; i++) {
		if (i % 1024 == 0)
			wait(5);
		flash[offset + i] = 0xff;
	}
	return 0;
}

int flash_program(void *driver, uint32_t offset, const void *data, uint32_t len)
{
	const uint8_t *p = (const uint8_t *)data;
	(void)driver;
	if (offset > FLASH_SIZE || len > FLASH_SIZE - offset)
		return -1;
	for (uint32_t i = 0; i < len; i++) {
		if (i % 16 == 0)
			wait(2);
		flash[offset + i] = flash[offset + i] & p[i]; /* ones become zeros, and no more */
	}
	return 0;
}

int flash_read(void *driver, uint32_t offset, void *data, uint32_t len)
{
	uint8_t *p = (uint8_t *)data;
	(void)driver;
	if (offset > FLASH_SIZE || len > FLASH_SIZE - offset)
		return -1;
	for (uint32_t i = 0; i < len; i++)
		p[i] = flash[offset + i];
	return 0;
}

int board_entropy(uint8_t seed[48])
{
	uint8_t any = 0;
	for (uint32_t i = 0; i < 48; i++) {
		volatile uint8_t *at = &flash[FLASH_SIZE - FLASH_BLOCK + i];
		seed[i] = *at;
		*at = 0;
		any |= seed[i];
	}
	return any != 0 ? 0 : -1;
}
