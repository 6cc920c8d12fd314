package faults

import (
	"net/http"
	"time"

	"eventshop.example/sandbox/internal/wire"
)

// Serve carries out an operation under the rules. do is called at most once; when it
// is, everything it answers for is durable by the time it returns. A cut connection is
// made with http.ErrAbortHandler, which net/http turns into a closed connection without
// an answer and without a log line.
func (s *Set) Serve(w http.ResponseWriter, r *http.Request, call Call, do func(Effect) wire.Answer) {
	effect := s.Take(call)
	if effect.Latency > 0 {
		timer := time.NewTimer(effect.Latency)
		defer timer.Stop()
		// A caller that gave up does not undo its request: a slow server may still
		// apply it, so the operation goes on when the time has come. Only the end of
		// the latency, not the caller, decides.
		<-timer.C
	}
	if effect.Down {
		panic(http.ErrAbortHandler)
	}
	if effect.Status != 0 {
		wire.Send(w, wire.Refuse(effect.Status, "fault", "a fault rule answers %s with this status", call.Operation))
		return
	}
	answer := do(effect)
	if effect.AnswerLost {
		panic(http.ErrAbortHandler)
	}
	wire.Send(w, answer)
}

// Register adds GET, POST and DELETE /faults and DELETE /faults/{id} to mux.
func (s *Set) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) {
		rules := s.List()
		if rules == nil {
			rules = []Rule{}
		}
		wire.Send(w, wire.Answer{Status: http.StatusOK, Body: map[string]any{"faults": rules}})
	})
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		var rule Rule
		if !wire.Read(w, r, &rule) {
			return
		}
		kept, err := s.Add(rule)
		if err != nil {
			wire.Send(w, wire.Refuse(http.StatusUnprocessableEntity, "invalid_rule", "%v", err))
			return
		}
		wire.Send(w, wire.Answer{Status: http.StatusCreated, Body: kept})
	})
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		s.Clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("DELETE /faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !s.Remove(r.PathValue("id")) {
			wire.Send(w, wire.Refuse(http.StatusNotFound, "unknown_rule", "no rule %q", r.PathValue("id")))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
