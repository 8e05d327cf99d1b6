/* The operators recycle.TernaryNetwork, uint8 (N, C, H, W) to uint8 (N, K, P, Q), and recycle.SparseNetwork, the same of
 * float32; attribute `network`, the packed network. ONNX Runtime finds `RegisterCustomOps` in the library by its name. */
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnxruntime_api.h"
#include "run.h"

#define CALL(interface, type, place) ((type)(interface)[place])

typedef struct {
    Interface interface;
    Runner *runner;
    const char *name;
} Kernel;

static const Operator ternary_network, sparse_network;
static const char *name_of(const Operator *self) { return self == &sparse_network ? "SparseNetwork" : "TernaryNetwork"; }
static size_t bytes_of(const Operator *self) { return self == &sparse_network ? sizeof(float) : 1; }

static _Atomic int parallel; /* whether this onnxruntime lends operators its threads */

static Status *failure(Interface interface, int code, const char *message) {
    return CALL(interface, CreateStatus, CREATE_STATUS)(code, message);
}

static Status *no_memory(Interface interface, const char *name, const char *what) {
    char message[MESSAGE];
    snprintf(message, sizeof message, "recycle.%s: no memory for %s", name, what);
    return failure(interface, FAILED, message);
}

/* The attribute's bytes, one more than it has; NULL with a status where it is missing. */
static char *attribute(const Operator *self, Interface interface, const Info *info, size_t *size, Status **status) {
    StringAttribute get = CALL(interface, StringAttribute, STRING_ATTRIBUTE);
    *size = 0;
    *status = get(info, "network", NULL, size);
    if (*status) return NULL;
    char *found = malloc(*size ? *size : 1);
    if (!found) *status = no_memory(interface, name_of(self), "its attribute");
    else if ((*status = get(info, "network", found, size))) free(found), found = NULL;
    return found;
}

static Status *create_kernel(const Operator *self, Interface interface, const Info *info, void **made) {
    Status *status;
    size_t size;
    char why[MESSAGE] = "", message[MESSAGE + 128];
    char *bytes = attribute(self, interface, info, &size, &status);
    if (!bytes) return status;
    Kernel *kernel = calloc(1, sizeof *kernel);
    if (kernel) kernel->runner = recycle_open((const uint8_t *)bytes, size ? size - 1 : 0, NULL, why);
    free(bytes);
    if (kernel && kernel->runner && recycle_number(kernel->runner) != bytes_of(self)) {
        snprintf(why, sizeof why, "its numbers take %u bytes", recycle_number(kernel->runner));
        recycle_close(kernel->runner);
        kernel->runner = NULL;
    }
    if (kernel && kernel->runner) {
        kernel->interface = interface;
        kernel->name = name_of(self);
        *made = kernel;
        return NULL;
    }
    free(kernel);
    snprintf(message, sizeof message, "recycle.%s: its packed network is damaged: %s; export it again", name_of(self),
             why);
    return failure(interface, INVALID_ARGUMENT, message);
}

static void destroy_kernel(void *made) {
    Kernel *kernel = made;
    recycle_close(kernel->runner);
    free(kernel);
}

/* Images in a tensor of `dims`; a status where it is none of this network's. */
static Status *count_images(const Kernel *kernel, const Value *value, const uint32_t shape[6], int64_t *images) {
    Interface interface = kernel->interface;
    Shape *found;
    size_t count;
    int64_t dims[4] = {0};
    Status *status = CALL(interface, TensorShape, TENSOR_SHAPE)(value, &found);
    if (status) return status;
    status = CALL(interface, DimensionCount, DIMENSION_COUNT)(found, &count);
    if (!status && count == 4) status = CALL(interface, Dimensions, DIMENSIONS)(found, dims, 4);
    CALL(interface, ReleaseShape, RELEASE_SHAPE)(found);
    if (status) return status;
    *images = dims[0];
    if (count == 4 && dims[1] == shape[0] && dims[2] == shape[1] && dims[3] == shape[2]) return NULL;
    char message[MESSAGE];
    snprintf(message, sizeof message, "recycle.%s: it takes (N, %u, %u, %u) and was given %zu dimensions, "
             "%lld x %lld x %lld of an image", kernel->name, shape[0], shape[1], shape[2], count, (long long)dims[1],
             (long long)dims[2], (long long)dims[3]);
    return failure(interface, INVALID_ARGUMENT, message);
}

typedef struct {
    Team *team;
    size_t places;   /* of which a thread of the session takes one, and then what is left */
    uint32_t threads; /* that are known */
} Meeting;

static void take_place(void *meeting, size_t place) {
    const Meeting *m = meeting;
    recycle_take_part(m->team, (uint32_t)(place * m->threads / m->places));
}

/* By the threads of the session. How many it has is nowhere said: more places are offered than have been taken, and
 * those that nobody is there for cost nothing. */
static Status *run(Kernel *kernel, Context *context, const void *in, void *out, size_t images) {
    Interface interface = kernel->interface;
    Status *status = NULL;
    Meeting m = {.team = recycle_team(kernel->runner, in, out, images), .threads = recycle_known(kernel->runner)};
    m.places = 2 * (size_t)m.threads;
    if (m.team) {
        if (atomic_load(&parallel))
            status = CALL(interface, ParallelFor, PARALLEL_FOR)(context, take_place, m.places, 0, &m);
        if (status) CALL(interface, ReleaseStatus, RELEASE_STATUS)(status);
        recycle_take_part(m.team, 0); /* returns at once where all is done */
        if (recycle_disband(m.team)) return NULL;
    }
    return no_memory(interface, kernel->name, "its images");
}

static Status *compute(void *made, Context *context) {
    Kernel *kernel = made;
    Interface interface = kernel->interface;
    const Value *given;
    Value *result;
    void *in, *out;
    int64_t images;
    uint32_t shape[6];
    recycle_shape(kernel->runner, shape);
    Status *status = CALL(interface, ContextInput, CONTEXT_INPUT)(context, 0, &given);
    if (status || (status = count_images(kernel, given, shape, &images))) return status;
    const int64_t dims[4] = {images, shape[3], shape[4], shape[5]};
    if ((status = CALL(interface, ContextOutput, CONTEXT_OUTPUT)(context, 0, dims, 4, &result)) ||
        (status = CALL(interface, TensorData, TENSOR_DATA)((Value *)given, &in)) ||
        (status = CALL(interface, TensorData, TENSOR_DATA)(result, &out)))
        return status;
    return run(kernel, context, in, out, (size_t)images);
}

static const char *provider(const Operator *self) { return (void)self, NULL; } /* the CPU */
static int type(const Operator *self, size_t which) {
    return (void)which, self == &sparse_network ? FLOAT_ELEMENTS : UINT8_ELEMENTS;
}
static size_t one(const Operator *self) { return (void)self, 1; }
static int required(const Operator *self, size_t which) { return (void)self, (void)which, 0; }
static int of_one(const Operator *self) { return (void)self, 1; }

#define OPERATOR                                                                       \
    {                                                                                  \
        .version = INTERFACE_VERSION, .name = name_of, .provider = provider,           \
        .input_type = type, .input_count = one, .output_type = type,                   \
        .output_count = one, .destroy = destroy_kernel, .input_kind = required,        \
        .output_kind = required,                                                       \
        .input_memory = required, /* 0 too: what the provider uses by itself */        \
        .variadic_inputs = of_one, .inputs_of_one_type = of_one,                       \
        .variadic_outputs = of_one, .outputs_of_one_type = of_one,                     \
        .create_or_fail = create_kernel, .compute_or_fail = compute,                   \
    }
static const Operator ternary_network = OPERATOR, sparse_network = OPERATOR;

/* Of "1.31.1" it is 31. To ask a runtime for an interface that it has not makes it write to stderr. */
static int minor_version(const char *version) {
    int major = 0, minor = 0;
    return sscanf(version, "%d.%d", &major, &minor) == 2 ? major > 1 ? INT_MAX : minor : 0;
}

EXPORTED Status *RegisterCustomOps(Options *options, const InterfaceBase *base);

Status *RegisterCustomOps(Options *options, const InterfaceBase *base) {
    static _Atomic(Domain *) domain; /* lives as long as the library: sessions refer to it */
    Interface interface = base->get(INTERFACE_VERSION);
    if (!interface)
        return failure(base->get(1), FAILED, "recycle kernels need onnxruntime 1.16 or later; install a newer one");
    atomic_store(&parallel, minor_version(base->version()) >= PARALLEL_VERSION);
    Domain *found = atomic_load(&domain);
    if (!found) {
        Status *status = CALL(interface, CreateDomain, CREATE_DOMAIN)("recycle", &found);
        if (status || (status = CALL(interface, AddOperator, ADD_OPERATOR)(found, &ternary_network)) ||
            (status = CALL(interface, AddOperator, ADD_OPERATOR)(found, &sparse_network)))
            return status;
        atomic_store(&domain, found);
    }
    return CALL(interface, AddDomain, ADD_DOMAIN)(options, found);
}
