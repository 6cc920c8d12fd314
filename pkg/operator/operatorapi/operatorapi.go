// Package operatorapi is the contract of the operators' API in Go, generated from
// pkg/operator/openapi.yaml: its types, the interface that a server implements, and a client.
// Package operator is the server.
//
// The generated [Client] sends requests and returns responses as they are. Its callers bound a
// response's size and turn a [Problem] into an error.
package operatorapi

// KeyText returns the record's key as text: "" for a record without key and for a key that is no
// text, which is in KeyBase64.
func (s Summary) KeyText() string { return text(s.Key) }

// KeyText returns the key as text: "" for an empty key and for a key that is no text, which is in
// KeyBase64.
func (k ParkedKey) KeyText() string { return text(k.Key) }

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Closed reports whether calls are let through.
func (b Breaker) Closed() bool { return b.State == BreakerStateClosed }
