package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// line is one request of a batch file.
type line struct {
	CustomID string          `json:"custom_id"`
	Method   string          `json:"method"`
	URL      string          `json:"url"`
	Body     json.RawMessage `json:"body"`
}

type batchResponse struct {
	StatusCode int    `json:"status_code"`
	RequestID  string `json:"request_id"`
	Body       any    `json:"body"`
}

type answer struct {
	ID       string         `json:"id"`
	CustomID string         `json:"custom_id"`
	Response *batchResponse `json:"response"`
	Error    *batchError    `json:"error"`
}

type batchError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// MaxLine bounds one line of a batch file.
const MaxLine = 64 << 20

// Batch answers every line of in with one line on out, in the order in which they are done, atOnce of them together. A
// bad line gets an error line; what stops the whole is out that cannot be written, in that cannot be read, or ctx.
// Each answer is one write, so that a stop leaves no half line.
func (m *Model) Batch(ctx context.Context, in io.Reader, out io.Writer, atOnce int, progress func(done, failed int)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan job)
	var mu sync.Mutex
	done, failed := 0, 0
	write := func(a answer) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		done++
		if a.Error != nil || a.Response.StatusCode != 200 {
			failed++
		}
		b, err := json.Marshal(a)
		if err == nil {
			_, err = out.Write(append(b, '\n'))
		}
		if err != nil {
			cancel(fmt.Errorf("the answers cannot be written: %w; the first %d are complete", err, done-1))
			return
		}
		if progress != nil {
			progress(done, failed)
		}
	}
	var workers sync.WaitGroup
	for range atOnce {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for j := range jobs {
				write(m.answer(ctx, j))
			}
		}()
	}
	readErr := readLines(ctx, in, jobs)
	close(jobs)
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return readErr
}

type job struct {
	n    int // line number
	text []byte
	long bool
}

func readLines(ctx context.Context, in io.Reader, jobs chan<- job) error {
	r := bufio.NewReaderSize(in, 1<<16)
	for n := 1; ; n++ {
		text, long, err := readLine(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("the requests cannot be read after line %d: %w", n-1, err)
		}
		if len(bytes.TrimSpace(text)) > 0 || long {
			select {
			case jobs <- job{n, text, long}:
			case <-ctx.Done():
				return nil
			}
		}
		if err != nil {
			return nil
		}
	}
}

// readLine reads one line of at most MaxLine bytes; of a longer one it drops the text and says so.
func readLine(r *bufio.Reader) (text []byte, long bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(text)+len(part) > MaxLine {
			text, long = nil, true
		}
		if !long {
			text = append(text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, long, err
		}
	}
}

// answer runs one line; whatever is wrong with it becomes part of the answer.
func (m *Model) answer(ctx context.Context, j job) answer {
	a := answer{ID: fmt.Sprintf("batch_req_%d", j.n)}
	var l line
	refuse := func(code, format string, args ...any) answer {
		a.Error = &batchError{Code: code, Message: fmt.Sprintf("line %d: ", j.n) + fmt.Sprintf(format, args...)}
		return a
	}
	if j.long {
		return refuse("line_too_long", "longer than %d MiB", MaxLine>>20)
	}
	if err := json.Unmarshal(j.text, &l); err != nil {
		return refuse("invalid_json", "not a JSON object: %v", err)
	}
	a.CustomID = l.CustomID
	switch {
	case l.CustomID == "":
		return refuse("missing_custom_id", "\"custom_id\" is missing")
	case l.Method != "POST":
		return refuse("invalid_method", "\"method\" is %q: only POST is possible", l.Method)
	case l.URL != "/v1/chat/completions" && l.URL != "/v1/completions":
		return refuse("invalid_url", "\"url\" is %q: possible are /v1/chat/completions and /v1/completions", l.URL)
	case len(l.Body) == 0:
		return refuse("missing_body", "\"body\" is missing")
	}
	res, err := m.complete(ctx, l.URL, fmt.Sprint(j.n), l.Body)
	a.Response = &batchResponse{StatusCode: 200, RequestID: a.ID, Body: res}
	var bad *apiError
	switch {
	case errors.As(err, &bad):
		a.Response.StatusCode, a.Response.Body = bad.status, map[string]any{"error": bad}
	case err != nil:
		a.Response.StatusCode, a.Response.Body = 500, map[string]any{"error": &apiError{Type: "server_error", Message: err.Error()}}
	}
	return a
}

// CountRequests counts the lines of a file that are not empty, if it can be read twice; else it is 0.
func CountRequests(f *os.File) (int, error) {
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, err
	}
	n := 0
	for r := bufio.NewReaderSize(f, 1<<16); ; {
		text, long, err := readLine(r)
		if long || len(bytes.TrimSpace(text)) > 0 {
			n++
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	_, err := f.Seek(0, io.SeekStart)
	return n, err
}
