/* Measures what this machine can do, for tools/bench_peers.py: probe dram|fma|int8 THREADS prints GB/s or G multiply-adds/s.

   dram reads 1 GiB that no cache holds, each thread its part, several times, and takes the fastest pass.
   fma runs independent float32 multiply-adds in registers, on the widest vectors there are.
   int8 runs the multiply-adds of bytes that an 8-bit product is made of: VPDPBUSD where the CPU has it, else VPMADDUBSW,
   VPMADDWD and VPADDD. */
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

enum { ROUNDS = 4 };
static const size_t total = (size_t)1 << 30;
static const long repeats = 20 * 1000 * 1000;

typedef struct {
	int index, count;
	char *memory;
	double work; /* bytes or multiply-adds of one round */
	volatile long sink;
} task;

__attribute__((target("avx2"))) static void dram(task *t) {
	size_t part = total / t->count / 4096 * 4096;
	const char *p = t->memory + part * t->index, *end = p + part;
	__m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
	for (; p < end; p += 128) {
		a = _mm256_or_si256(a, _mm256_load_si256((const void *)p));
		b = _mm256_or_si256(b, _mm256_load_si256((const void *)(p + 32)));
		c = _mm256_or_si256(c, _mm256_load_si256((const void *)(p + 64)));
		d = _mm256_or_si256(d, _mm256_load_si256((const void *)(p + 96)));
	}
	a = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
	t->sink = _mm256_extract_epi64(a, 0);
	t->work = (double)part;
}

/* Twelve chains: more than latency times units, fewer than registers. asm keeps the compiler from seeing through them. */
#define CHAINS(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11)

__attribute__((target("avx2,fma"))) static void fma256(task *t) {
	__m256 v[12], k = _mm256_set1_ps(0.999f);
	for (int i = 0; i < 12; i++) v[i] = _mm256_set1_ps(i);
	for (long n = repeats; n > 0; n--) {
#define STEP(i) __asm__ volatile("vfmadd231ps %1, %1, %0" : "+x"(v[i]) : "x"(k));
		CHAINS(STEP)
#undef STEP
	}
	for (int i = 0; i < 12; i++) t->sink += (long)v[i][0];
	t->work = 12.0 * 8 * repeats;
}

__attribute__((target("avx512f"))) static void fma512(task *t) {
	__m512 v[12], k = _mm512_set1_ps(0.999f);
	for (int i = 0; i < 12; i++) v[i] = _mm512_set1_ps(i);
	for (long n = repeats; n > 0; n--) {
#define STEP(i) __asm__ volatile("vfmadd231ps %1, %1, %0" : "+v"(v[i]) : "v"(k));
		CHAINS(STEP)
#undef STEP
	}
	for (int i = 0; i < 12; i++) t->sink += (long)v[i][0];
	t->work = 12.0 * 16 * repeats;
}

__attribute__((target("avx2"))) static void int8_256(task *t) {
	__m256i v[12], k = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
	for (int i = 0; i < 12; i++) v[i] = _mm256_set1_epi32(i);
	for (long n = repeats / 2; n > 0; n--) {
#define STEP(i) { __m256i p; __asm__ volatile("vpmaddubsw %2, %2, %1\n\tvpmaddwd %3, %1, %1\n\tvpaddd %1, %0, %0" : "+x"(v[i]), "=&x"(p) : "x"(k), "x"(ones)); }
		CHAINS(STEP)
#undef STEP
	}
	for (int i = 0; i < 12; i++) t->sink += _mm256_extract_epi32(v[i], 0);
	t->work = 12.0 * 32 * (repeats / 2);
}

__attribute__((target("avx512f,avx512vnni"))) static void int8_512(task *t) {
	__m512i v[12], k = _mm512_set1_epi8(3);
	for (int i = 0; i < 12; i++) v[i] = _mm512_set1_epi32(i);
	for (long n = repeats; n > 0; n--) {
#define STEP(i) __asm__ volatile("vpdpbusd %1, %1, %0" : "+v"(v[i]) : "v"(k));
		CHAINS(STEP)
#undef STEP
	}
	for (int i = 0; i < 12; i++) t->sink += _mm_cvtsi128_si32(_mm512_castsi512_si128(v[i]));
	t->work = 12.0 * 64 * repeats;
}

static void (*loop)(task *);
static pthread_barrier_t gate;

static void *run(void *arg) {
	task *t = arg;
	for (int r = 0; r < ROUNDS; r++) {
		pthread_barrier_wait(&gate);
		loop(t);
		pthread_barrier_wait(&gate);
	}
	return NULL;
}

int main(int argc, char **argv) {
	int threads = argc == 3 ? atoi(argv[2]) : 0;
	if (threads < 1 || threads > 1024) {
		fprintf(stderr, "usage: probe dram|fma|int8 THREADS\n");
		return 2;
	}
	char *memory = NULL;
	if (!strcmp(argv[1], "dram")) {
		loop = dram;
		if (posix_memalign((void **)&memory, 4096, total)) return 1;
		memset(memory, 1, total);
	} else if (!strcmp(argv[1], "fma")) {
		loop = __builtin_cpu_supports("avx512f") ? fma512 : fma256;
	} else if (!strcmp(argv[1], "int8")) {
		loop = __builtin_cpu_supports("avx512vnni") ? int8_512 : int8_256;
	} else {
		return 2;
	}
	pthread_barrier_init(&gate, NULL, threads + 1);
	task *tasks = calloc(threads, sizeof *tasks);
	pthread_t id;
	for (int i = 0; i < threads; i++) {
		tasks[i] = (task){.index = i, .count = threads, .memory = memory};
		if (pthread_create(&id, NULL, run, &tasks[i])) return 1;
	}
	double best = 0;
	for (int r = 0; r < ROUNDS; r++) {
		pthread_barrier_wait(&gate);
		double start = now(), work = 0;
		pthread_barrier_wait(&gate);
		double took = now() - start;
		for (int i = 0; i < threads; i++) work += tasks[i].work;
		if (work / took > best) best = work / took;
	}
	printf("%.2f\n", best / 1e9);
	return 0;
}
