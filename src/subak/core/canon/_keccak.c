/*
 * keccak-256 (the pre-NIST padding that Ethereum uses) of one message, or of many messages of one length.
 *
 * Of many, eight messages advance together, one in each lane of a vector. A compiler without vector extensions gets one lane and the same
 * results; a platform without function clones gets one build for its baseline. FIPS 202 gives the permutation; the padding is 0x01.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define RATE 136

#if defined(__GNUC__)
#define LANES 8
typedef uint64_t lanes __attribute__((vector_size(8 * LANES)));
#define INLINE static inline __attribute__((always_inline))
#else
#define LANES 1
typedef uint64_t lanes;
#define INLINE static
#endif

#if defined(__GNUC__) && defined(__x86_64__) && defined(__gnu_linux__) && defined(__GLIBC__)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif

static const uint64_t ROUND[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b, 0x0000000080000001,
    0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003, 0x8000000000008002, 0x8000000000000080,
    0x000000000000800a, 0x800000008000000a, 0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};

#define ROTATE(x, r) (((x) << (r)) | ((x) >> (64 - (r))))
#define THETA(x) t = c[(x + 4) % 5] ^ ROTATE(c[(x + 1) % 5], 1); a[x] ^= t; a[x + 5] ^= t; a[x + 10] ^= t; a[x + 15] ^= t; a[x + 20] ^= t;
#define RHO_PI(j, r) u = a[j]; a[j] = ROTATE(t, r); t = u;
#define CHI(y) \
    for (int x = 0; x < 5; x++) c[x] = a[y + x]; \
    for (int x = 0; x < 5; x++) a[y + x] = c[x] ^ (~c[(x + 1) % 5] & c[(x + 2) % 5]);

/* The same steps for one word a lane and for a vector of them. */
#define PERMUTE(name, word) \
INLINE void name(word *a) \
{ \
    word c[5], t, u; \
    for (int round = 0; round < 24; round++) { \
        for (int x = 0; x < 5; x++) c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20]; \
        THETA(0) THETA(1) THETA(2) THETA(3) THETA(4) \
        t = a[1]; \
        RHO_PI(10, 1) RHO_PI(7, 3) RHO_PI(11, 6) RHO_PI(17, 10) RHO_PI(18, 15) RHO_PI(3, 21) RHO_PI(5, 28) RHO_PI(16, 36) \
        RHO_PI(8, 45) RHO_PI(21, 55) RHO_PI(24, 2) RHO_PI(4, 14) RHO_PI(15, 27) RHO_PI(23, 41) RHO_PI(19, 56) RHO_PI(13, 8) \
        RHO_PI(12, 25) RHO_PI(2, 43) RHO_PI(20, 62) RHO_PI(14, 18) RHO_PI(22, 39) RHO_PI(9, 61) RHO_PI(6, 20) RHO_PI(1, 44) \
        CHI(0) CHI(5) CHI(10) CHI(15) CHI(20) \
        a[0] ^= ROUND[round]; \
    } \
}
PERMUTE(permute, lanes)
PERMUTE(permute_one, uint64_t)

/* Keccak's words are little-endian; on other machines the same call swaps. */
INLINE uint64_t little(uint64_t w)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(w);
#else
    return w;
#endif
}

CLONES static void hash_many(const uint8_t *in, size_t count, size_t size, uint8_t *out)
{
    for (size_t first = 0; first < count; first += LANES) {
        lanes a[25], v;
        uint64_t words[RATE / 8][LANES];
        size_t offset = 0;
        memset(a, 0, sizeof a);
        for (int last = 0; !last; offset += RATE) {
            last = size - offset < RATE;
            size_t left = last ? size - offset : RATE, full = left / 8, used = full + (size_t)last;
            for (size_t lane = 0; lane < LANES; lane++) {
                /* The lanes past the end repeat the last message; nothing of them is written. */
                const uint8_t *block = in + (first + lane < count ? first + lane : count - 1) * size + offset;
                uint64_t w;
                for (size_t i = 0; i < full; i++) {
                    memcpy(&w, block + 8 * i, 8);
                    words[i][lane] = little(w);
                }
                if (last) {
                    uint8_t end[8] = {0};
                    for (size_t i = 8 * full; i < left; i++) end[i % 8] = block[i];
                    end[left % 8] = 0x01;
                    memcpy(&w, end, 8);
                    words[full][lane] = little(w);
                }
            }
            for (size_t i = 0; i < used; i++) {
                memcpy(&v, words[i], sizeof v);
                a[i] ^= v;
            }
            if (last) a[RATE / 8 - 1] ^= 0x8000000000000000;
            permute(a);
        }
        for (int i = 0; i < 4; i++) {
            memcpy(words[i], &a[i], sizeof v);
            for (size_t lane = 0; lane < LANES && first + lane < count; lane++) {
                uint64_t w = little(words[i][lane]);
                memcpy(out + 32 * (first + lane) + 8 * i, &w, 8);
            }
        }
    }
}

static void hash_one(const uint8_t *in, size_t left, uint8_t *out)
{
    uint64_t a[25] = {0}, w;
    uint8_t end[RATE] = {0};
    for (; left >= RATE; left -= RATE, in += RATE) {
        for (int i = 0; i < RATE / 8; i++) {
            memcpy(&w, in + 8 * i, 8);
            a[i] ^= little(w);
        }
        permute_one(a);
    }
    memcpy(end, in, left);
    end[left] = 0x01;
    end[RATE - 1] |= 0x80;
    for (int i = 0; i < RATE / 8; i++) {
        memcpy(&w, end + 8 * i, 8);
        a[i] ^= little(w);
    }
    permute_one(a);
    for (int i = 0; i < 4; i++) {
        w = little(a[i]);
        memcpy(out + 8 * i, &w, 8);
    }
}

static PyObject *keccak(PyObject *self, PyObject *data)
{
    Py_buffer in;
    uint8_t out[32];
    (void)self;
    if (PyObject_GetBuffer(data, &in, PyBUF_SIMPLE)) return NULL;
    hash_one(in.buf, (size_t)in.len, out);
    PyBuffer_Release(&in);
    return PyBytes_FromStringAndSize((const char *)out, 32);
}

/* Rows of prefix (32), bytes32 and a number as 32 bytes, from a tuple of pairs; 0 if there is an error. */
static int pack_pairs(const uint8_t *prefix, PyObject *pairs, Py_ssize_t count, uint8_t *row)
{
    for (Py_ssize_t n = 0; n < count; n++, row += 96) {
        PyObject *pair = PyTuple_GetItem(pairs, n), *name, *number;
        char *bytes;
        Py_ssize_t size;
        if (pair == NULL || (name = PyTuple_GetItem(pair, 0)) == NULL || (number = PyTuple_GetItem(pair, 1)) == NULL) return 0;
        if (PyBytes_AsStringAndSize(name, &bytes, &size)) return 0;
        if (size != 32) {
            PyErr_SetString(PyExc_ValueError, "the first of each pair has 32 bytes");
            return 0;
        }
        unsigned long long value = PyLong_AsUnsignedLongLong(number);
        if (value == (unsigned long long)-1 && PyErr_Occurred()) return 0;
        memcpy(row, prefix, 32);
        memcpy(row + 32, bytes, 32);
        memset(row + 64, 0, 24);
        for (int i = 0; i < 8; i++) row[88 + i] = (uint8_t)(value >> (56 - 8 * i));
    }
    return 1;
}

static PyObject *keccak_pairs(PyObject *self, PyObject *args)
{
    PyObject *pairs, *result = NULL;
    const char *prefix;
    Py_ssize_t size, count;
    uint8_t *rows, out[32];
    (void)self;
    if (!PyArg_ParseTuple(args, "y#O", &prefix, &size, &pairs)) return NULL;
    if (size != 32) {
        PyErr_SetString(PyExc_ValueError, "the prefix has 32 bytes");
        return NULL;
    }
    if ((count = PyTuple_Size(pairs)) < 0) return NULL;
    if ((rows = PyMem_Malloc(128 * (size_t)count + 1)) == NULL) return PyErr_NoMemory();
    if (pack_pairs((const uint8_t *)prefix, pairs, count, rows)) {
        hash_many(rows, (size_t)count, 96, rows + 96 * count);
        hash_one(rows + 96 * count, 32 * (size_t)count, out);
        result = PyBytes_FromStringAndSize((const char *)out, 32);
    }
    PyMem_Free(rows);
    return result;
}

static PyObject *keccak_many(PyObject *self, PyObject *args)
{
    Py_buffer in, out;
    Py_ssize_t size;
    PyObject *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*nw*", &in, &size, &out)) return NULL;
    Py_ssize_t count = out.len / 32;
    if (size < 0 || out.len % 32 || (size ? in.len / size != count || in.len % size : in.len != 0)) {
        PyErr_SetString(PyExc_ValueError, "the output takes 32 bytes for each item_bytes of the input");
    } else {
        if (count) {
            Py_BEGIN_ALLOW_THREADS
            hash_many(in.buf, (size_t)count, (size_t)size, out.buf);
            Py_END_ALLOW_THREADS
        }
        result = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&in);
    PyBuffer_Release(&out);
    return result;
}

static PyMethodDef methods[] = {
    {"keccak", keccak, METH_O, "keccak(buffer): its keccak-256, 32 bytes."},
    {"keccak_pairs", keccak_pairs, METH_VARARGS,
     "keccak_pairs(prefix, pairs): keccak-256 of the keccak-256 of each prefix , bytes32, uint256, for (bytes32, below 2^64) in a tuple."},
    {"keccak_many", keccak_many, METH_VARARGS,
     "keccak_many(buffer, item_bytes, out): writes keccak-256 of each item_bytes of buffer into 32 bytes of out."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_keccak", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__keccak(void) { return PyModuleDef_Init(&module); }
