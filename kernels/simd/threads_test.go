package simd

import (
	"math"
	"testing"
	"testing/fstest"
)

func files(f map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range f {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

// Ensure that the quota is the least on the way up, in both versions of control groups, and none where nothing says so.
func TestQuota(t *testing.T) {
	for _, c := range []struct {
		name, groups string
		sys          map[string]string
		want         float64
	}{
		{"v2", "0::/a/b\n", map[string]string{"fs/cgroup/a/b/cpu.max": "150000 100000\n", "fs/cgroup/a/cpu.max": "max 100000\n"}, 1.5},
		{"v2, parent", "0::/a/b\n", map[string]string{"fs/cgroup/a/b/cpu.max": "max 100000\n", "fs/cgroup/a/cpu.max": "50000 100000\n"}, 0.5},
		{"v2, the host's path", "0::/host/pod7\n", map[string]string{"fs/cgroup/cpu.max": "200000 100000\n"}, 2},
		{"v1", "5:cpuset:/x\n4:cpu,cpuacct:/a\n", map[string]string{"fs/cgroup/cpu/a/cpu.cfs_quota_us": "250000\n", "fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n"}, 2.5},
		{"v1 without limit", "4:cpu,cpuacct:/a\n", map[string]string{"fs/cgroup/cpu/a/cpu.cfs_quota_us": "-1\n", "fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n"}, math.Inf(1)},
		{"no limit", "0::/a\n", map[string]string{"fs/cgroup/a/cpu.max": "max 100000\n"}, math.Inf(1)},
		{"nonsense", "0::/../..\nx\n::\n", map[string]string{"fs/cgroup/cpu.max": "1 2 3"}, math.Inf(1)},
		{"zero", "0::/\n", map[string]string{"fs/cgroup/cpu.max": "0 0"}, math.Inf(1)},
	} {
		l := limits{sys: files(c.sys), proc: files(map[string]string{"self/cgroup": c.groups})}
		if got := l.quota(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := (limits{sys: files(nil), proc: files(nil)}).quota(); !math.IsInf(got, 1) {
		t.Errorf("without control groups the quota is %v", got)
	}
}

// Ensure that two hyperthreads are one core, and that processors count where the system does not say.
func TestCores(t *testing.T) {
	l := limits{sys: files(map[string]string{
		"devices/system/cpu/cpu0/topology/thread_siblings_list": "0,4\n",
		"devices/system/cpu/cpu1/topology/thread_siblings_list": "1,5\n",
		"devices/system/cpu/cpu4/topology/thread_siblings_list": "0,4\n",
	})}
	for _, c := range []struct {
		processors []int
		want       int
	}{{[]int{0, 1, 4}, 2}, {[]int{0, 4}, 1}, {[]int{1}, 1}, {[]int{0, 4, 9}, 3}} {
		if got := l.cores(c.processors); got != c.want {
			t.Errorf("%v: %d cores, want %d", c.processors, got, c.want)
		}
	}
}

func TestThreads(t *testing.T) {
	if n := Threads(); n < 1 || n > 4096 {
		t.Errorf("%d threads", n)
	}
}
