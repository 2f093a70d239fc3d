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
	near    []stretch
	lookups []*lookup
}

// account adds up where the time goes while a profile is kept.
type account struct {
	on    bool
	times []time.Duration // by step
}

// walk runs the steps one after the other, to the first that fails.
func (r *runner) walk() {
	if !r.account.on {
		for i := range r.steps {
			if r.steps[i].do(); r.err != nil {
				return
			}
		}
		return
	}
	last := time.Now()
	for i := range r.steps {
		if r.steps[i].do(); r.err != nil {
			return
		}
		now := time.Now()
		r.account.times[i] += now.Sub(last)
		last = now
	}
}

// Profile opens a new account, or closes it.
func (r *runner) Profile(on bool) {
	if r.account.on = on; on {
		r.account.times = make([]time.Duration, len(r.steps))
	}
}

// Account is the time of all steps by kind of work.
func (r *runner) Account() []kernels.WorkTime {
	var all []kernels.WorkTime
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
