/* A CUDA runtime for machines without a GPU: "device" memory is shared memory of the host, a handle is its name. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct { char reserved[64]; } cudaIpcMemHandle_t;

static struct { void *address; size_t size; char name[64], path[512]; } blocks[64];
static int n_blocks, n_pinned, last;

/* As in CUDA, a failure is also kept for cudaGetLastError, which torch asks after each of its kernels. */
static int failed(int status) { return last = status; }

int cudaGetLastError(void) {
    int status = last;
    last = 0;
    return status;
}

const char *cudaGetErrorString(int status) { return status == 801 ? "operation not supported" : "out of memory"; }

int pinned(void) { return n_pinned; } /* for the tests */

int cudaHostRegister(void *address, size_t size, unsigned flags) {
#ifdef REFUSE_PIN
    return failed(801);
#endif
    if (!address || !size || flags) return failed(1);
    n_pinned++;
    return 0;
}

int cudaHostUnregister(void *address) {
#ifdef HANG_UNPIN /* a card that hangs: the call never returns */
    for (;;) pause();
#endif
    return n_pinned-- > 0 && address ? 0 : failed(1);
}

int cudaMalloc(void **address, size_t size) {
#ifdef HANG_MALLOC
    for (;;) pause();
#endif
    snprintf(blocks[n_blocks].name, 64, "%d-%d", getpid(), n_blocks);
    snprintf(blocks[n_blocks].path, 512, "%s/memory-%s", DIRECTORY, blocks[n_blocks].name);
    int fd = open(blocks[n_blocks].path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, size)) return failed(2);
    *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    blocks[n_blocks].address = *address;
    blocks[n_blocks++].size = size;
    return 0;
}

int cudaFree(void *address) {
#ifdef HANG_FREE
    for (;;) pause();
#endif
    for (int i = 0; i < n_blocks; i++)
        if (blocks[i].address == address) {
            blocks[i].address = NULL;
            return munmap(address, blocks[i].size) || unlink(blocks[i].path);
        }
    return failed(1);
}

int cudaIpcGetMemHandle(cudaIpcMemHandle_t *handle, void *address) {
#ifdef REFUSE_HANDLE /* as in WSL2 */
    return failed(801);
#endif
    for (int i = 0; i < n_blocks; i++)
        if (blocks[i].address == address) return memcpy(handle->reserved, blocks[i].name, 64), 0;
    return failed(1);
}

int cudaIpcOpenMemHandle(void **address, cudaIpcMemHandle_t handle, unsigned flags) {
#ifdef REFUSE
    return failed(801);
#endif
    char path[512];
    snprintf(path, 512, "%s/memory-%s", DIRECTORY, handle.reserved);
    int fd = open(path, O_RDWR);
    if (fd < 0 || flags != 1) return failed(1);
    *address = mmap(NULL, lseek(fd, 0, SEEK_END), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return 0;
}
