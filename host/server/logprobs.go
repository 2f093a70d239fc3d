package server

import (
	"encoding/json"

	"forge/host"
)

// wanted is what a body wants to know of its tokens' probabilities.
type wanted struct {
	on      bool
	top     int  // candidates to list for each token
	chances bool // what the sampler picked by, and not what the model said
}

const maxTopLogprobs = 100

// wantedLogprobs reads OpenAI's fields, which chats and completions have in forms of their own, and llama.cpp's
// post_sampling_probs.
func wantedLogprobs(b *body, isChat bool) (w wanted, err error) {
	if isNull(b.Logprobs) || string(b.Logprobs) == "false" {
		switch {
		case b.TopLogprobs != nil && *b.TopLogprobs != 0:
			return w, badRequest("\"top_logprobs\" is for a chat with \"logprobs\": true")
		case b.PostSampling:
			return w, badRequest("\"post_sampling_probs\" needs \"logprobs\"")
		}
		return w, nil
	}
	w.on, w.chances = true, b.PostSampling
	if isChat {
		if string(b.Logprobs) != "true" {
			return w, badRequest("\"logprobs\" of a chat is not true or false: \"top_logprobs\" has the number")
		}
		if b.TopLogprobs != nil {
			w.top = *b.TopLogprobs
		}
	} else if err := json.Unmarshal(b.Logprobs, &w.top); err != nil {
		return w, badRequest("\"logprobs\" is not a number")
	}
	if w.top < 0 || w.top > maxTopLogprobs {
		return w, badRequest("%d logprobs asked for: 0 to %d", w.top, maxTopLogprobs)
	}
	return w, nil
}

// ask puts what is wanted into a request, which knows lists of at least one candidate.
func (w wanted) ask(req *host.Request) {
	switch {
	case !w.on:
	case w.chances:
		req.Chances = max(1, w.top)
	default:
		req.Logprobs = max(1, w.top)
	}
}

// candidate is a token that might stand at a place, with its probability's logarithm.
type candidate struct {
	Token   string  `json:"token"`
	Logprob float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"` // of the token, which need not be whole characters
}

// tokenLogprob is the token that does, and which were the likeliest.
type tokenLogprob struct {
	candidate
	Top []candidate `json:"top_logprobs"`
}

// unlikely stands for the logarithm of no probability at all, as in OpenAI's answers: JSON has no infinity.
const unlikely = -9999

func newCandidate(text string, logprob float64) candidate {
	c := candidate{Token: text, Logprob: unlikely, Bytes: []int{}}
	if logprob > unlikely { // not where it is none
		c.Logprob = logprob
	}
	for _, b := range []byte(text) {
		c.Bytes = append(c.Bytes, int(b))
	}
	return c
}

// list gives what was wanted of an answer's tokens; piece gives a token's text.
func (w wanted) list(res *host.Result, piece func(id uint32) (string, error)) ([]tokenLogprob, error) {
	list := []tokenLogprob{}
	for i, id := range res.Tokens {
		var own float64
		var top []host.Logprob
		if w.chances {
			own, top = res.Chances[i].Logprob, res.Chances[i].Top
		} else {
			own, top = res.TokenLogprobs[i], res.Logprobs[i]
		}
		text, err := piece(id)
		if err != nil {
			return nil, err
		}
		t := tokenLogprob{newCandidate(text, own), []candidate{}}
		for _, l := range top[:min(w.top, len(top))] {
			if text, err = piece(l.ID); err != nil {
				return nil, err
			}
			t.Top = append(t.Top, newCandidate(text, l.Logprob))
		}
		list = append(list, t)
	}
	return list, nil
}

// chatLogprobs is the list in the form of a chat's choice.
func chatLogprobs(list []tokenLogprob) any {
	return map[string]any{"content": list, "refusal": nil}
}

// textLogprobs is the list in the form of a completion's choice. The token itself is always among the candidates, and of
// two with the same text the likelier one has the place.
func textLogprobs(list []tokenLogprob) any {
	tokens, logprobs, tops := []string{}, []float64{}, []map[string]float64{}
	for _, t := range list {
		top := map[string]float64{}
		for _, c := range append(t.Top, t.candidate) {
			if have, ok := top[c.Token]; !ok || c.Logprob > have {
				top[c.Token] = c.Logprob
			}
		}
		tokens, logprobs, tops = append(tokens, t.Token), append(logprobs, t.Logprob), append(tops, top)
	}
	return map[string]any{"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": tops}
}
