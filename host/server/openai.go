// Package server holds the wire formats that requests come in: so far the OpenAI batch file.
//
// Nouns: a body is the JSON of one request for a path of the OpenAI API; an answer is the JSON object it gets; a batch is
// a file of such requests, one a line. Nothing here knows kernels or what plugins do inside.
package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"forge/host"
	"forge/host/chat"
)

// Model is what requests run on.
type Model struct {
	Engine   *host.Engine
	Renderer *chat.Renderer
	Name     string
	Defaults map[string]any // sampler settings where a body says nothing
	Samplers []string
	// Constraint is what answers are held to where a body says nothing; Constraints are plugins that apply always.
	Constraint  map[string]any
	Constraints []string
	Warn        func(string)
	MaxTok      int    // where a body says nothing; -1: until the context is full
	Seed        *int64 // where a body says nothing; nil: from the clock
}

// body holds the fields of /v1/chat/completions and /v1/completions that forge acts on.
type body struct {
	Model         string          `json:"model"`
	Messages      []chat.Message  `json:"messages"`
	Tools         json.RawMessage `json:"tools"`
	Prompt        json.RawMessage `json:"prompt"`
	MaxTokens     *int            `json:"max_tokens"`
	MaxCompletion *int            `json:"max_completion_tokens"`
	Seed          *int64          `json:"seed"`
	Stop          json.RawMessage `json:"stop"`
	Logprobs      json.RawMessage `json:"logprobs"`
	TopLogprobs   *int            `json:"top_logprobs"`
	PostSampling  bool            `json:"post_sampling_probs"`
	N             *int            `json:"n"`
	Stream        bool            `json:"stream"`
	IgnoreEOS     bool            `json:"ignore_eos"`
	Samplers      []string        `json:"samplers"`
	ChatVars      map[string]any  `json:"chat_template_kwargs"`
}

// apiError is an error as the OpenAI API writes it, with the HTTP status that belongs to it.
type apiError struct {
	status  int
	Message string `json:"message"`
	Type    string `json:"type"`
}

func (e *apiError) Error() string { return e.Message }

func badRequest(format string, args ...any) *apiError {
	return &apiError{status: 400, Type: "invalid_request_error", Message: fmt.Sprintf(format, args...)}
}

// complete answers one body. The result is the response object, to be written as JSON.
func (m *Model) complete(ctx context.Context, path, id string, raw []byte) (any, error) {
	var b body
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&b); err != nil {
		return nil, badRequest("the body is not valid JSON for %s: %v", path, err)
	}
	if b.Stream {
		return nil, badRequest("a batch cannot stream: leave \"stream\" out")
	}
	if b.N != nil && *b.N != 1 {
		return nil, badRequest("\"n\" is %d: only 1 is supported", *b.N)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, badRequest("the body is not a JSON object: %v", err)
	}
	set, err := m.settings(ctx, fields)
	if err != nil {
		return nil, err
	}
	req := &host.Request{Settings: set, Samplers: m.Samplers, Constraints: m.Constraints, MaxTokens: m.MaxTok, IgnoreEOS: b.IgnoreEOS}
	if req.Constraint, err = constraint(fields, m.Constraint); err != nil {
		return nil, err
	}
	if b.Samplers != nil {
		req.Samplers = b.Samplers
	}
	req.Samplers = WithRules(req.Samplers, m.Engine.DefaultChain(), set)
	if b.MaxTokens != nil {
		req.MaxTokens = *b.MaxTokens
	}
	if b.MaxCompletion != nil {
		req.MaxTokens = *b.MaxCompletion
	}
	if req.MaxTokens == 0 || req.MaxTokens < -1 {
		return nil, badRequest("\"max_tokens\" is %d: give a positive number", req.MaxTokens)
	}
	if b.Seed == nil {
		b.Seed = m.Seed
	}
	req.Seed = Seed(b.Seed)
	if req.Stop, err = stringOrList(b.Stop); err != nil {
		return nil, badRequest("\"stop\" is neither a string nor a list of strings")
	}
	isChat := strings.HasSuffix(path, "/chat/completions")
	want, err := wantedLogprobs(&b, isChat)
	if err != nil {
		return nil, err
	}
	want.ask(req)
	text, err := m.promptText(ctx, &b, isChat)
	if err != nil {
		return nil, err
	}
	if req.Prompt, err = m.Engine.Tokenize(ctx, text, true); err != nil {
		return nil, err
	}
	res, err := m.Engine.Generate(ctx, req)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	if res.Finish == "cancelled" {
		return nil, context.Cause(ctx)
	}
	return m.response(ctx, res, want, id, isChat)
}

func (m *Model) promptText(ctx context.Context, b *body, isChat bool) (string, error) {
	if !isChat {
		var prompts []string
		if err := json.Unmarshal(b.Prompt, &prompts); err == nil && len(prompts) == 1 {
			return prompts[0], nil
		}
		var prompt string
		if err := json.Unmarshal(b.Prompt, &prompt); err != nil || len(b.Prompt) == 0 {
			return "", badRequest("\"prompt\" is missing or is not one text")
		}
		return prompt, nil
	}
	if len(b.Messages) == 0 {
		return "", badRequest("\"messages\" is missing or empty")
	}
	d := &chat.Dialogue{Messages: b.Messages, Tools: b.Tools, AddGenerationPrompt: true, Vars: b.ChatVars}
	text, notice, err := m.Renderer.Render(ctx, d)
	if err != nil {
		return "", badRequest("%v", err)
	}
	if notice != "" && m.Warn != nil {
		m.Warn(notice)
	}
	return text, nil
}

// settings are the sampler settings of a body over the defaults.
func (m *Model) settings(ctx context.Context, fields map[string]json.RawMessage) (map[string]any, error) {
	s := maps.Clone(m.Defaults)
	if s == nil {
		s = map[string]any{}
	}
	return s, sampling(fields, s, func(text string) ([]uint32, error) { return m.Engine.Tokenize(ctx, text, false) })
}

// Seed gives the seed asked for, or one from the clock: it is reported, so that the run can be repeated.
func Seed(asked *int64) uint64 {
	if asked != nil && *asked >= 0 {
		return uint64(*asked)
	}
	return uint64(time.Now().UnixNano()) & 0xffffffff
}

func stringOrList(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var list []string
	if err := json.Unmarshal(raw, &list); err == nil {
		return list, nil
	}
	var one string
	if err := json.Unmarshal(raw, &one); err != nil {
		return nil, err
	}
	return []string{one}, nil
}

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

func (m *Model) response(ctx context.Context, res *host.Result, want wanted, id string, isChat bool) (any, error) {
	choice := map[string]any{"index": 0, "finish_reason": res.Finish, "logprobs": nil}
	out := map[string]any{
		"created": time.Now().Unix(), "model": m.Name, "choices": []any{choice},
		"usage": usage{len(res.Prompt), len(res.Tokens), len(res.Prompt) + len(res.Tokens)},
	}
	form := textLogprobs
	if isChat {
		out["id"], out["object"] = "chatcmpl-"+id, "chat.completion"
		choice["message"] = map[string]any{"role": "assistant", "content": res.Text}
		form = chatLogprobs
	} else {
		out["id"], out["object"] = "cmpl-"+id, "text_completion"
		choice["text"] = res.Text
	}
	if want.on {
		list, err := want.list(res, func(id uint32) (string, error) { return m.Engine.Piece(ctx, id) })
		if err != nil {
			return nil, err
		}
		choice["logprobs"] = form(list)
	}
	return out, nil
}
