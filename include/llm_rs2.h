/* llm_rs2: text from a Llama model on this device.
 *
 * Every function that can fail returns a status (LLM_RS2_OK or a code below) and, where `error` is not NULL, writes the
 * code and a message there. All text is UTF-8. Everything may be called from any thread; one model generates one text
 * at a time. docs/EMBEDDING.md shows how to build the library and has examples.
 */
#ifndef LLM_RS2_H
#define LLM_RS2_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface: compare with llm_rs2_api_version() before anything else is called. A library of the same
 * version has every function and field of this header with the same meaning. The number is raised when one is taken away
 * or changed; functions, codes and fields at the end of the options may be added without that. llm_rs2_error and
 * llm_rs2_result do not grow within a version. */
#define LLM_RS2_API_VERSION 2

/* Status. */
#define LLM_RS2_OK 0
#define LLM_RS2_INVALID_ARGUMENT 1 /* a NULL that must not be one, a number or a name out of range */
#define LLM_RS2_INVALID_UTF8 2     /* a text that is not UTF-8 */
#define LLM_RS2_NO_SUCH_MODEL 3    /* a model that was never loaded, or is freed */
#define LLM_RS2_BUSY 4             /* the model is generating, perhaps in the callback that makes this call */
#define LLM_RS2_TOO_SMALL 5        /* a buffer too small for the result; the needed length was written */
#define LLM_RS2_LOAD_FAILED 6      /* files, settings or a device that a model cannot be loaded with */
#define LLM_RS2_NO_MEMORY 7        /* not enough memory */
#define LLM_RS2_FAILED 8           /* any other error, described by the message */
#define LLM_RS2_PANICKED 9         /* a bug in the library; free the model */

/* Why a text ended. */
#define LLM_RS2_END_OF_TEXT 0    /* the model ended it */
#define LLM_RS2_STOP_STRING 1    /* a stop string occurred */
#define LLM_RS2_MAX_TOKENS 2     /* as many tokens as asked for */
#define LLM_RS2_CONTEXT_FULL 3   /* max_seq_len tokens */
#define LLM_RS2_CANCELLED 4      /* llm_rs2_cancel */
#define LLM_RS2_CALLBACK_ENDED 5 /* the callback returned 0 */

/* A loaded model. 0 is never one, and numbers are not used again, so that a freed one is recognized. */
typedef uint64_t llm_rs2_model;

/* A text to be generated, so that it can be cancelled from before it begins. Numbers are not used again. */
typedef uint64_t llm_rs2_request;

/* What went wrong. */
typedef struct llm_rs2_error {
    int32_t code;
    char message[1020]; /* one sentence, NUL-terminated, truncated if longer */
} llm_rs2_error;

/* How a model is loaded. llm_rs2_load_options_init() first; NULL and 0 stand for the default. */
typedef struct llm_rs2_load_options {
    size_t struct_size;       /* as llm_rs2_load_options_init() sets it */
    const char *model_path;   /* checkpoint directory, safetensors, GGUF or packed file; NULL: the demo model */
    const char *backend;      /* "cpu", "opencl" or "reference"; NULL: "cpu" */
    const char *device;       /* OpenCL device, by number or a part of its name; NULL: the first GPU */
    const char *weight_dtype; /* "auto", "f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"; NULL: "auto" */
    const char *kv_type;      /* type of keys and values, as generate's --kv-type; NULL: "f16" */
    const char *cache;        /* where converted weights are stored: a directory or "off"; NULL: in the model's directory */
    uint32_t threads;         /* of the cpu backend, at most as many as there are cores; 0: the number of fast cores */
    uint32_t max_seq_len;     /* tokens of prompt and answer; 0: 4096, or what the model was trained for if less */
    uint32_t no_memory_check; /* not 0: load even if the estimate says that memory does not suffice */
    uint32_t reserved;        /* 0 */
} llm_rs2_load_options;

/* What is generated. llm_rs2_generate_options_init() first. */
typedef struct llm_rs2_generate_options {
    size_t struct_size;       /* as llm_rs2_generate_options_init() sets it */
    const char *prompt;       /* never NULL */
    const char *system;       /* with chat: a message before the prompt; NULL: none */
    const char *const *stop;  /* texts that end the answer and are not part of it */
    size_t stop_count;
    uint64_t seed;            /* 42 */
    llm_rs2_request request;  /* of llm_rs2_request_new(), for one text; 0: one that the library numbers itself */
    uint32_t chat;            /* not 0: the prompt is a message, to be put into the model's chat template */
    uint32_t max_tokens;      /* 0: until the model ends the text, or the context is full */
    uint32_t ignore_eos;      /* not 0: continue after the end-of-text token */
    uint32_t repetition_window;
    int32_t top_k;            /* 0: all; less than 0: the model's, else 40 */
    float temperature;        /* 0: the most likely token; NAN: the model's, else 0.8 */
    float top_p;              /* NAN: the model's, else 0.95 */
    float min_p;              /* NAN: the model's, else 0 */
    float repetition_penalty; /* NAN: the model's, else 1 */
    float frequency_penalty;  /* 0 */
    float presence_penalty;   /* 0 */
    uint32_t reserved;        /* 0 */
} llm_rs2_generate_options;

/* The result of a generation. */
typedef struct llm_rs2_result {
    int32_t finish;            /* why the text ended */
    uint32_t prompt_tokens;
    uint32_t generated_tokens;
    uint32_t reserved;
    double prefill_seconds;
    double decode_seconds;
} llm_rs2_result;

/* Receives more of the text: whole characters, `length` bytes and a NUL after them, valid until it returns.
 * Returns whether to continue: 0 ends the text. It is called on the thread that called llm_rs2_generate(), and must
 * return: no longjmp, no exception. */
typedef int32_t (*llm_rs2_callback)(const char *text, size_t length, void *user_data);

/* LLM_RS2_API_VERSION of the library. */
uint32_t llm_rs2_api_version(void);

/* The library's release, like "0.1.0". */
const char *llm_rs2_version(void);

/* Fills in the defaults: `struct_size` bytes, which is the size of the caller's struct, and no more. A library of another
 * release may know fewer or more fields: those that the caller does not have are defaults, and those that the library does
 * not have must stay 0. */
void llm_rs2_load_options_init(llm_rs2_load_options *options, size_t struct_size);
void llm_rs2_generate_options_init(llm_rs2_generate_options *options, size_t struct_size);

/* Loads a model; `options` may be NULL for the demo model. */
int32_t llm_rs2_load(const llm_rs2_load_options *options, llm_rs2_model *model, llm_rs2_error *error);

/* The ids of a text, with the token that begins one if `begin` is not 0. `count` receives their number, even if
 * `ids` has room for fewer (`capacity`; LLM_RS2_TOO_SMALL, and nothing is written). */
int32_t llm_rs2_tokenize(llm_rs2_model model, const char *text, int32_t begin, uint32_t *ids, size_t capacity,
                         size_t *count, llm_rs2_error *error);

/* A number for the next text, to be put into its options. llm_rs2_cancel() with it ends that text and no other, whether
 * it is generated already or not. A call that returns LLM_RS2_BUSY has not used it up. */
int32_t llm_rs2_request_new(llm_rs2_model model, llm_rs2_request *request, llm_rs2_error *error);

/* Generates; `result` and `callback` may be NULL. */
int32_t llm_rs2_generate(llm_rs2_model model, const llm_rs2_generate_options *options, llm_rs2_callback callback,
                         void *user_data, llm_rs2_result *result, llm_rs2_error *error);

/* Ends the text of a request before its next token, or before its first; 0 stands for all requests of the model that
 * were made and have not ended. LLM_RS2_OK also for one that has ended. The llm_rs2_generate() of the request, which may
 * be running on another thread or be called later, returns LLM_RS2_OK with LLM_RS2_CANCELLED as its reason. */
int32_t llm_rs2_cancel(llm_rs2_model model, llm_rs2_request request, llm_rs2_error *error);

/* Frees the model. Calls on other threads that use it already end as cancelled ones do, also those that have not begun
 * to generate; its memory goes when they have ended. */
int32_t llm_rs2_free(llm_rs2_model model, llm_rs2_error *error);

#ifdef __cplusplus
}
#endif

#endif
