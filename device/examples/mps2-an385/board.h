/* SPDX-License-Identifier: Apache-2.0
 *
 * board.h: an ARM MPS2 with the AN385 image (Cortex-M3, 25 MHz), as QEMU has it. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

enum { LINE, CONSOLE }; /* its UARTs: to the gateway, and for people */

void board_start(void);
uint32_t board_now(void); /* milliseconds */
void board_sleep(void);   /* until something happens, at most a millisecond */

size_t uart_read(int uart, uint8_t *data, size_t size);
void uart_write(int uart, const uint8_t *data, size_t len);
void print(const char *text);
void print_number(uint32_t n);
void board_off(void);

/* The flash, 64 kB in blocks of 4 kB. AN385 has none that a program can write. What is
 * in its place is the board's PSRAM, which QEMU keeps in a file, so that it
 * outlives a power cut; the driver does with it only what a NOR flash can do, and is
 * about as slow. */
enum { FLASH_BLOCK = 4096, FLASH_SIZE = 16 * FLASH_BLOCK };
int flash_erase(void *driver, uint32_t offset);
int flash_program(void *driver, uint32_t offset, const void *data, uint32_t len);
int flash_read(void *driver, uint32_t offset, void *data, uint32_t len);

/* board_entropy gives 48 bytes that are fresh at each start, and once at each start: in the place
 * of a random generator in hardware, which AN385 has not, whoever starts QEMU puts
 * them into the flash's last block. -1 where they are not there. */
int board_entropy(uint8_t seed[48]);

#endif
