package receipt

import (
	"context"
	"fmt"

	"forge/host"
)

// cancelled is the finish of a run that its user stopped: where it would have ended is not known.
const cancelled = "cancelled"

// Verdict says how far a second run went the same way.
type Verdict struct {
	Equal      int    // tokens that are equal, from the first on
	Difference string // the first difference in words, empty where there is none
}

// Proved tells whether the run is the receipt's.
func (v *Verdict) Proved() bool { return v.Difference == "" }

// String is the sentence for the user.
func (v *Verdict) String() string {
	if v.Proved() {
		return fmt.Sprintf("proved: %d tokens equal", v.Equal)
	}
	return fmt.Sprintf("disproved after %d equal tokens: %s", v.Equal, v.Difference)
}

// Replay runs the receipt's request again in an engine that was opened with its model and its Set, and compares token by token. It
// stops at the first difference.
func (r *Receipt) Replay(ctx context.Context, e *host.Engine) (*Verdict, error) {
	v := &Verdict{}
	req := &host.Request{
		Prompt: r.Prompt, MaxTokens: r.MaxTokens, Settings: r.Settings, Constraint: r.Constraint, Constraints: r.Constraints,
		Samplers: r.Chain, Seed: r.Seed, Stop: r.Stop, IgnoreEOS: r.IgnoreEOS,
	}
	if r.Finish == cancelled && len(r.Tokens) == 0 {
		return v, nil
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	req.OnToken = func(p host.Pick) {
		if running.Err() != nil {
			return
		}
		if v.Difference = r.differs(v.Equal, Draw(p)); v.Difference == "" {
			v.Equal++
		}
		if v.Difference != "" || r.Finish == cancelled && v.Equal == len(r.Tokens) {
			stop()
		}
	}
	res, err := e.Generate(running, req)
	switch {
	case v.Difference != "":
	case r.Finish == cancelled && v.Equal == len(r.Tokens):
	case ctx.Err() != nil:
		return nil, fmt.Errorf("stopped after %d equal tokens of %d", v.Equal, len(r.Tokens))
	case err != nil:
		return nil, err
	case v.Equal < len(r.Tokens):
		next := r.Tokens[v.Equal]
		v.Difference = fmt.Sprintf("token %d (position %d) is %d in the receipt, and the run ends before it (%s)", v.Equal+1, next.Pos, next.ID, res.Finish)
	case res.Finish != r.Finish:
		v.Difference = fmt.Sprintf("the receipt says that it ended by %q, the run ends by %q", r.Finish, res.Finish)
	}
	return v, nil
}

// differs compares the i-th token.
func (r *Receipt) differs(i int, got Draw) string {
	at := fmt.Sprintf("token %d (position %d)", i+1, got.Pos)
	switch {
	case i >= len(r.Tokens):
		return fmt.Sprintf("the receipt ends before %s, which is %d in the run", at, got.ID)
	case got.ID != r.Tokens[i].ID:
		return fmt.Sprintf("%s is %d in the receipt, and %d in the run", at, r.Tokens[i].ID, got.ID)
	case got.Pos != r.Tokens[i].Pos:
		return fmt.Sprintf("token %d is %d in both, but the receipt has it at position %d, and the run at %d", i+1, got.ID, r.Tokens[i].Pos, got.Pos)
	case got != r.Tokens[i]:
		return fmt.Sprintf("%s is %d in both, but the receipt draws %d to %d, and the run %d to %d", at, got.ID, r.Tokens[i].From, r.Tokens[i].To, got.From, got.To)
	}
	return ""
}
