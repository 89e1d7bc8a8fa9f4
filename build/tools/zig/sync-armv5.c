/* What libusb needs of atomics, and zig's runtime leaves out for ARM v5: that
 * processor has no instruction for them. The kernel has a function, at an
 * address of its own (its kernel_user_helpers document, "kuser_cmpxchg"); Go's
 * runtime calls the same. */

#define kuser_cmpxchg (*(int (*)(int, int, volatile int *))0xffff0fc0)

/* The compiler lets nobody define these by their names. */
int compare_and_swap(volatile int *p, int old, int new) __asm__("__sync_val_compare_and_swap_4");
int fetch_and_add(volatile int *p, int n) __asm__("__sync_fetch_and_add_4");
int test_and_set(volatile int *p, int new) __asm__("__sync_lock_test_and_set_4");

int compare_and_swap(volatile int *p, int old, int new)
{
	int now;

	do {
		now = *p;
		if (now != old)
			return now;
	} while (kuser_cmpxchg(old, new, p) != 0);
	return old;
}

int fetch_and_add(volatile int *p, int n)
{
	int now;

	do
		now = *p;
	while (kuser_cmpxchg(now, now + n, p) != 0);
	return now;
}

int test_and_set(volatile int *p, int new)
{
	int now;

	do
		now = *p;
	while (kuser_cmpxchg(now, new, p) != 0);
	return now;
}
