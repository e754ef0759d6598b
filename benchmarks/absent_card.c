/* The part of the CUDA runtime and driver that torch needs to compile for a card that is not there: one H100, on which
   nothing runs. Its memory is that of the host, and a module cannot be loaded. As `libcuda.so.1`, and preloaded, it also
   takes the place of the runtime's functions of the same names; those that are not here fail as without a driver. */
/* The arguments of these two differ between versions of CUDA, and are not read here. */
#define cudaStreamGetCaptureInfo declared_otherwise
#define cudaGetDriverEntryPointByVersion declared_otherwise_too
#include <cuda_runtime_api.h>
#undef cudaStreamGetCaptureInfo
#undef cudaGetDriverEntryPointByVersion
#undef cudaGetDeviceProperties
#include <stdlib.h>
#include <string.h>

#define H100_BYTES 85000000000UL
enum { NOT_SUPPORTED = 801, WARP_SIZE_OF = 10, PROCESSORS_OF = 16, MAJOR_OF = 75 };

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device) {
    memset(properties, 0, sizeof *properties);
    strcpy(properties->name, "NVIDIA H100 80GB HBM3");
    properties->major = 9;
    properties->multiProcessorCount = 132;
    properties->totalGlobalMem = H100_BYTES;
    properties->warpSize = 32;
    properties->regsPerBlock = properties->regsPerMultiprocessor = 65536;
    properties->maxThreadsPerBlock = 1024;
    properties->maxThreadsPerMultiProcessor = 2048;
    properties->sharedMemPerBlock = 49152;
    properties->sharedMemPerBlockOptin = 232448;
    properties->sharedMemPerMultiprocessor = 233472;
    properties->l2CacheSize = 52428800;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties_v2(struct cudaDeviceProp *properties, int device) {
    return cudaGetDeviceProperties(properties, device);
}

cudaError_t cudaGetDeviceCount(int *count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int *device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return cudaSuccess; }
cudaError_t cudaGetLastError(void) { return cudaSuccess; }
cudaError_t cudaPeekAtLastError(void) { return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int *version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { return *least = *greatest = 0, cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return cudaSuccess; }
cudaError_t cudaDeviceSynchronize(void) { return cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t *left, size_t *all) { return *left = *all = H100_BYTES, cudaSuccess; }
cudaError_t cudaFree(void *memory) { return cudaSuccess; }

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
    return *status = cudaStreamCaptureStatusNone, cudaSuccess;
}

int cudaStreamGetCaptureInfo(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
    return *status = cudaStreamCaptureStatusNone, cudaSuccess;
}

cudaError_t cudaMalloc(void **memory, size_t bytes) {
    return (*memory = calloc(1, bytes)) ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned flags) { return cudaMalloc(memory, bytes); }

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
    return memcpy(to, from, bytes), cudaSuccess;
}

int cudaGetDriverEntryPointByVersion(void) { return NOT_SUPPORTED; }

/* The driver, as torch and Triton ask it. */
int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *version) { return *version = CUDART_VERSION, 0; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, 0; }
int cuDeviceGetCount(int *count) { return *count = 1, 0; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { return *flags = 0, *active = 1, 0; }

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == MAJOR_OF ? 9 : attribute == PROCESSORS_OF ? 132 : attribute == WARP_SIZE_OF ? 32 : 0;
    return 0;
}

int cuGetErrorString(int error, const char **text) { return *text = "this card is a stand-in: nothing runs on it", 0; }

#define REFUSE(name) int name(void) { return NOT_SUPPORTED; }
REFUSE(cuModuleLoadData) REFUSE(cuModuleUnload) REFUSE(cuModuleGetFunction)
REFUSE(cuFuncGetAttribute) REFUSE(cuFuncSetAttribute) REFUSE(cuFuncSetCacheConfig)
REFUSE(cuCtxGetCurrent) REFUSE(cuCtxSetCurrent) REFUSE(cuCtxGetDevice) REFUSE(cuCtxGetLimit) REFUSE(cuCtxSetLimit)
REFUSE(cuDevicePrimaryCtxRetain) REFUSE(cuPointerGetAttribute)
