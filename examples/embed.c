/* Continues a story with the demo model, or with the model that is named:
 *
 *   cargo build --release --example llm_rs2_c
 *   cc -Iinclude -o embed examples/embed.c -Ltarget/release/examples -lllm_rs2_c -Wl,-rpath,target/release/examples
 *   ./embed "Once upon a time" [MODEL]
 */
#include <stdio.h>
#include <string.h>

#include "llm_rs2.h"

/* Prints the text as it comes; 0 would end it. */
static int32_t print(const char *text, size_t length, void *user_data) {
    (void)user_data;
    return fwrite(text, 1, length, stdout) == length && fflush(stdout) == 0;
}

int main(int argc, char **argv) {
    llm_rs2_error error;
    if (argc < 2 || llm_rs2_api_version() != LLM_RS2_API_VERSION) {
        fprintf(stderr, "usage: embed PROMPT [MODEL]\n");
        return 2;
    }

    llm_rs2_load_options load;
    llm_rs2_load_options_init(&load, sizeof load);
    load.model_path = argc > 2 ? argv[2] : NULL;
    llm_rs2_model model;
    if (llm_rs2_load(&load, &model, &error) != LLM_RS2_OK) {
        fprintf(stderr, "error: %s\n", error.message);
        return 1;
    }

    llm_rs2_generate_options options;
    llm_rs2_generate_options_init(&options, sizeof options);
    options.prompt = argv[1];
    options.max_tokens = 60;
    llm_rs2_result result;
    int32_t status = llm_rs2_generate(model, &options, print, NULL, &result, &error);
    if (status == LLM_RS2_OK) {
        printf("\n");
        fprintf(stderr, "%u tokens, the end: %d\n", result.generated_tokens, result.finish);
    } else {
        fprintf(stderr, "error: %s\n", error.message);
    }
    llm_rs2_free(model, NULL);
    return status == LLM_RS2_OK ? 0 : 1;
}
