/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L

#include "cpns_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* sync_folder makes a new file's name durable. */
static int sync_folder(const char *path)
{
	char copy[PATH_MAX];
	if (strlen(path) >= sizeof copy)
		return ENAMETOOLONG;
	strcpy(copy, path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	int result = fsync(fd) != 0 ? errno : 0;
	close(fd);
	return result;
}

int cpns_file_open(cpns_file_t *file, const char *path)
{
	struct stat info;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno;
	int result = 0;
	if (fstat(fd, &info) != 0 || fcntl(fd, F_SETLK, &lock) != 0)
		result = errno;
	else if (!S_ISREG(info.st_mode) || (info.st_mode & 077) != 0)
		result = EPERM;
	else
		result = sync_folder(path);
	if (result != 0) {
		close(fd);
		return result;
	}
	file->fd = fd;
	return 0;
}

void cpns_file_close(cpns_file_t *file)
{
	close(file->fd);
	file->fd = -1;
}

int cpns_file_load(void *file, unsigned slot, uint8_t record[CPNS_RECORD_SIZE])
{
	const cpns_file_t *f = (const cpns_file_t *)file;
	memset(record, 0, CPNS_RECORD_SIZE); /* what lies behind the end of the file */
	for (size_t n = 0; n < CPNS_RECORD_SIZE;) {
		ssize_t got = pread(f->fd, record + n, CPNS_RECORD_SIZE - n, (off_t)(slot * PAGE + n));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return 0;
}

int cpns_file_store(void *file, unsigned slot, const uint8_t record[CPNS_RECORD_SIZE])
{
	const cpns_file_t *f = (const cpns_file_t *)file;
	for (size_t n = 0; n < CPNS_RECORD_SIZE;) {
		ssize_t put = pwrite(f->fd, record + n, CPNS_RECORD_SIZE - n, (off_t)(slot * PAGE + n));
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return -1;
		n += (size_t)put;
	}
	return fdatasync(f->fd) == 0 ? 0 : -1;
}
