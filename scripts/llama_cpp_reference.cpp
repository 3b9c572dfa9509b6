// What llama.cpp computes for a model file, as JSON on standard output: for each text its tokens, the logits after the
// last of them, the mean negative log-likelihood of the tokens, and the greedy continuation. The tests with real models
// (tests/it/real_models) compare these figures with ours. Needs a built llama.cpp:
//
//     g++ -O2 -I LLAMA/include -I LLAMA/ggml/include scripts/llama_cpp_reference.cpp -o reference \
//         LLAMA/build/src/libllama.a LLAMA/build/ggml/src/libggml*.a -lpthread -ldl
//     ./reference MODEL.gguf GREEDY_TOKENS tests/fixtures/models/prompts/*.txt >tests/fixtures/models/NAME.json
//     ./reference --quantize TYPE MODEL.gguf OUT.gguf   writes the model in another type, by its number in llama_ftype:
//                                                       0 float32, 15 Q4_K_M, 17 Q5_K_M, 3 Q4_1, ...
//
// A text in a file that ends with .ids is a list of token ids.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "llama.h"

namespace {

[[noreturn]] void fail(const std::string & why) {
    std::fprintf(stderr, "error: %s\n", why.c_str());
    std::exit(1);
}

int argmax(const float * logits, int count) {
    int best = 0;
    for (int id = 1; id < count; id++) {
        if (logits[id] > logits[best]) best = id;
    }
    return best;
}

double negative_log_likelihood(const float * logits, int count, int id) {
    const double top = logits[argmax(logits, count)];
    double sum = 0;
    for (int i = 0; i < count; i++) sum += std::exp(logits[i] - top);
    return top + std::log(sum) - logits[id];
}

void print_ids(const char * name, const std::vector<llama_token> & ids) {
    std::printf("   \"%s\": [", name);
    for (size_t i = 0; i < ids.size(); i++) std::printf("%s%d", i ? "," : "", ids[i]);
    std::printf("]");
}

void report(llama_model * model, const char * path, int greedy, bool first) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fail(std::string("cannot read ") + path);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    const llama_vocab * vocab = llama_model_get_vocab(model);
    const int count = llama_vocab_n_tokens(vocab);

    std::vector<llama_token> ids;
    if (std::strstr(path, ".ids")) {
        std::istringstream numbers(text);
        ids.assign(std::istream_iterator<llama_token>(numbers), {});
    } else {
        ids.resize(text.size() + 8);
        ids.resize(llama_tokenize(vocab, text.data(), text.size(), ids.data(), ids.size(), true, true));
    }

    llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = 2048;
    params.n_threads = params.n_threads_batch = 1;
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    llama_context * context = llama_init_from_model(model, params);
    if (!context) fail("no context");

    // Every position has its logits.
    llama_batch batch = llama_batch_init(ids.size(), 0, 1);
    for (size_t i = 0; i < ids.size(); i++) {
        batch.token[i] = ids[i];
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = true;
    }
    batch.n_tokens = ids.size();
    if (llama_decode(context, batch)) fail("a pass failed");
    double nll = 0;
    for (size_t i = 0; i + 1 < ids.size(); i++) nll += negative_log_likelihood(llama_get_logits_ith(context, i), count, ids[i + 1]);
    // Of the last logits some 800 are printed.
    const int stride = count < 800 ? 1 : count / 800;
    const float * logits = llama_get_logits_ith(context, ids.size() - 1);
    std::printf("%s  {\n   \"file\": \"%s\",\n", first ? "" : ",\n", std::strrchr(path, '/') ? std::strrchr(path, '/') + 1 : path);
    print_ids("ids", ids);
    std::printf(",\n   \"mean_nll\": %.6f,\n   \"stride\": %d,\n   \"last_logits\": [", ids.size() > 1 ? nll / (ids.size() - 1) : 0.0, stride);
    for (int id = 0; id < count; id += stride) std::printf("%s%.4f", id ? "," : "", logits[id]);
    std::printf("],\n");

    std::vector<llama_token> said;
    for (int i = 0; i < greedy; i++) {
        llama_token next = argmax(llama_get_logits_ith(context, -1), count);
        if (llama_vocab_is_eog(vocab, next)) break;
        said.push_back(next);
        if (llama_decode(context, llama_batch_get_one(&next, 1))) fail("a pass failed");
    }
    print_ids("greedy", said);
    std::printf("\n  }");
    llama_batch_free(batch);
    llama_free(context);
}

} // namespace

int main(int argc, char ** argv) {
    if (argc < 4) fail("usage: reference MODEL GREEDY_TOKENS TEXT... | reference --quantize TYPE MODEL OUT");
    llama_backend_init();
    if (std::strcmp(argv[1], "--quantize") == 0 && argc == 5) {
        llama_model_quantize_params params = llama_model_quantize_default_params();
        params.ftype = static_cast<llama_ftype>(std::atoi(argv[2]));
        params.allow_requantize = true;
        return static_cast<int>(llama_model_quantize(argv[3], argv[4], &params));
    }
    llama_model * model = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (!model) fail("the model does not load");
    std::printf("{\n \"made_by\": \"scripts/llama_cpp_reference.cpp with llama.cpp of August 2026\",\n \"cases\": [\n");
    for (int i = 3; i < argc; i++) report(model, argv[i], std::atoi(argv[2]), i == 3);
    std::printf("\n ]\n}\n");
    llama_model_free(model);
    return 0;
}
