/* The few parts of ONNX Runtime's stable C interface that a custom operator needs, declared by hand.
 *
 * The interface is a table of functions that only ever grows, so a function is known by its place in it; which
 * place has which function was read from its documentation and checked by running under onnxruntime 1.31.1
 * (tests/exporters/kernel). Version 16 of the operator's structure is the first whose functions can fail.
 */
#ifndef RECYCLE_ONNXRUNTIME_API_H
#define RECYCLE_ONNXRUNTIME_API_H

#include <stddef.h>
#include <stdint.h>

#define INTERFACE_VERSION 16
#define PARALLEL_VERSION 17 /* the first that lets operators use the session's threads */

enum { FAILED = 1, INVALID_ARGUMENT = 2 }; /* codes of a status */
enum { FLOAT_ELEMENTS = 1, UINT8_ELEMENTS = 2 }; /* types of a tensor */

typedef struct Status Status;   /* NULL: all is well */
typedef struct Options Options; /* of a session */
typedef struct Domain Domain;
typedef struct Info Info;       /* of a kernel that is made */
typedef struct Context Context; /* of a call */
typedef struct Value Value;
typedef struct Shape Shape;

typedef void (*const *Interface)(void);

typedef struct {
    Interface (*get)(uint32_t version);
    const char *(*version)(void);
} InterfaceBase;

typedef Status *(*CreateStatus)(int code, const char *message);
typedef Status *(*CreateDomain)(const char *name, Domain **);
typedef struct Operator Operator;
typedef Status *(*AddOperator)(Domain *, const Operator *);
typedef Status *(*AddDomain)(Options *, Domain *);
typedef Status *(*TensorData)(Value *, void **);
typedef Status *(*DimensionCount)(const Shape *, size_t *);
typedef Status *(*Dimensions)(const Shape *, int64_t *, size_t);
typedef Status *(*TensorShape)(const Value *, Shape **);
typedef Status *(*StringAttribute)(const Info *, const char *name, char *, size_t *);
typedef Status *(*ContextInput)(const Context *, size_t, const Value **);
typedef Status *(*ContextOutput)(Context *, size_t, const int64_t *, size_t, Value **);
typedef void (*ReleaseShape)(Shape *);
typedef void (*ReleaseStatus)(Status *);
typedef Status *(*ParallelFor)(const Context *, void (*each)(void *, size_t), size_t count, size_t batches, void *);

enum {
    CREATE_STATUS = 0,
    CREATE_DOMAIN = 26,
    ADD_OPERATOR = 27,
    ADD_DOMAIN = 28,
    TENSOR_DATA = 51,
    DIMENSION_COUNT = 61,
    DIMENSIONS = 62,
    TENSOR_SHAPE = 65,
    STRING_ATTRIBUTE = 87,
    CONTEXT_INPUT = 90,
    CONTEXT_OUTPUT = 91,
    RELEASE_STATUS = 93,
    RELEASE_SHAPE = 99,
    PARALLEL_FOR = 274, /* of version 17 on */
};

/* OrtCustomOp of version 16. Functions that return no status are those of older versions. */
struct Operator {
    uint32_t version;
    void *(*create)(const Operator *, Interface, const Info *);
    const char *(*name)(const Operator *);
    const char *(*provider)(const Operator *);
    int (*input_type)(const Operator *, size_t);
    size_t (*input_count)(const Operator *);
    int (*output_type)(const Operator *, size_t);
    size_t (*output_count)(const Operator *);
    void (*compute)(void *, Context *);
    void (*destroy)(void *);
    int (*input_kind)(const Operator *, size_t);
    int (*output_kind)(const Operator *, size_t);
    int (*input_memory)(const Operator *, size_t);
    int (*variadic_inputs)(const Operator *);
    int (*inputs_of_one_type)(const Operator *);
    int (*variadic_outputs)(const Operator *);
    int (*outputs_of_one_type)(const Operator *);
    Status *(*create_or_fail)(const Operator *, Interface, const Info *, void **);
    Status *(*compute_or_fail)(void *, Context *);
    Status *(*infer_shape)(const Operator *, void *);
};

#endif
