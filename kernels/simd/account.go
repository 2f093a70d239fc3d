package simd

import (
	"cmp"
	"slices"
	"time"

	"forge/kernels"
)

// stage is a part of a runner's Step: it does its work alone or shares it out to the pool.
type stage struct {
	work string // what it does, for accounts
	run  func()
	// Of a product: what the steps behind it read, up to the next product.
	near []stretch
}

// account adds up where the time goes while a profile is kept.
type account struct {
	on      bool
	times   []time.Duration // by step
	fetches time.Duration   // what the steps took to fetch ahead
	last    time.Time
	clock   time.Duration // what a look at the clock takes, which is nobody's work
}

// open begins a new account.
func (a *account) open(steps int) {
	*a = account{on: true, times: make([]time.Duration, steps), last: time.Now()}
	least := time.Second
	for range 100 {
		least = min(least, a.next())
	}
	a.clock = least
}

// next is the time since the last call.
func (a *account) next() time.Duration {
	now := time.Now()
	d := now.Sub(a.last) - a.clock
	a.last = now
	return max(0, d)
}

// walk runs the steps one after the other, to the first that fails.
func (r *runner) walk() {
	a := &r.account
	if a.on {
		a.last = time.Now()
	}
	for i := range r.steps {
		s := &r.steps[i]
		if len(s.near) > 0 {
			if fetch(s.near); a.on {
				a.fetches += a.next()
			}
		}
		if s.run(); r.err != nil {
			return
		}
		if a.on {
			a.times[i] += a.next()
		}
	}
}

// Profile opens a new account, or closes it.
func (r *runner) Profile(on bool) {
	if r.account.on = on; on {
		r.account.open(len(r.steps))
	}
}

// Account is the time of all steps by kind of work.
func (r *runner) Account() []kernels.WorkTime {
	if r.account.times == nil {
		return nil
	}
	all := []kernels.WorkTime{{Work: "fetch", Time: r.account.fetches}}
	for i, t := range r.account.times {
		work := r.steps[i].work
		k := slices.IndexFunc(all, func(w kernels.WorkTime) bool { return w.Work == work })
		if k < 0 {
			k = len(all)
			matrices := work == kernels.OpLinear.String() || work == kernels.OpExperts.String()
			all = append(all, kernels.WorkTime{Work: work, Matrices: matrices})
		}
		all[k].Time += t
	}
	slices.SortStableFunc(all, func(a, b kernels.WorkTime) int { return cmp.Compare(b.Time, a.Time) })
	return all
}
