package simd

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// Threads is how many workers suit this process: one for each processor core that it may run on, but no more than the
// processor time that its control groups grant, and than GOMAXPROCS. Go's own count rounds the quota up, and a second
// thread on 1.2 processors spends most of its time waiting to be let on, with the first one waiting for it.
func Threads() int {
	return max(1, min(runtime.GOMAXPROCS(0), coresAllowed()))
}

// limits is what a system says about processors: sys is the root of /sys, proc that of /proc.
type limits struct{ sys, proc fs.FS }

var system = limits{sys: os.DirFS("/sys"), proc: os.DirFS("/proc")}

// cores counts the cores behind the given logical processors: hyperthreads of one core share its vector units.
func (l limits) cores(processors []int) int {
	seen := map[string]bool{}
	for _, n := range processors {
		name := path.Join("devices/system/cpu", "cpu"+strconv.Itoa(n), "topology/thread_siblings_list")
		siblings, err := fs.ReadFile(l.sys, name)
		if err != nil {
			return len(processors)
		}
		seen[strings.TrimSpace(string(siblings))] = true
	}
	return len(seen)
}

// quota is the processor time a second that the control groups of this process allow, in processors; +Inf without limit.
func (l limits) quota() float64 {
	least := math.Inf(1)
	groups, err := fs.ReadFile(l.proc, "self/cgroup")
	if err != nil {
		return least
	}
	for line := range strings.Lines(string(groups)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		read, root := l.quotaV1, "fs/cgroup/cpu"
		if id == "0" && controllers == "" {
			read, root = l.quotaV2, "fs/cgroup"
		} else if !strings.Contains(","+controllers+",", ",cpu,") {
			continue
		}
		// Every group on the way up limits those in it. In a container the path may be the host's: then only the root is there.
		for group = path.Clean("/" + group); ; group = path.Dir(group) {
			least = min(least, read(path.Join(root, group)))
			if group == "/" {
				break
			}
		}
	}
	return least
}

func (l limits) quotaV2(folder string) float64 {
	return ratio(strings.Fields(l.text(folder, "cpu.max")))
}

func (l limits) quotaV1(folder string) float64 {
	return ratio([]string{l.text(folder, "cpu.cfs_quota_us"), l.text(folder, "cpu.cfs_period_us")})
}

func (l limits) text(folder, name string) string {
	b, err := fs.ReadFile(l.sys, path.Join(folder, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// ratio of quota and period; +Inf where there is no limit ("max", or -1) or nothing that can be understood.
func ratio(parts []string) float64 {
	if len(parts) != 2 {
		return math.Inf(1)
	}
	quota, err1 := strconv.ParseFloat(parts[0], 64)
	period, err2 := strconv.ParseFloat(parts[1], 64)
	if err1 != nil || err2 != nil || !(quota > 0) || !(period > 0) {
		return math.Inf(1)
	}
	return quota / period
}
