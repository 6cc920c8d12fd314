// Package registry is the schema registry of the embedded stack: the part of Confluent's API, for
// Avro, that clients of this shop and the usual tools call.
//
// # What it guarantees
//
// Every change is fsynced to a journal before it is answered with success. It survives any end of
// the process and a power cut. With a Kafka topic as the journal ([OpenTopic]) it is as durable as
// that topic. A version is checked against the earlier ones by Avro's rules of schema resolution,
// at the subject's level or otherwise the global one, BACKWARD by default. One schema has one id,
// counted from 1, for all subjects, however often and by however many clients it is registered at
// once. Ids and versions never change and are never reused.
//
// # What it does not
//
// There is one node, no authentication, no deletion, no modes and no contexts; a [Fault] can make
// it read-only, deny schemas, or hang, for tests. Schema references, JSON Schema and Protobuf are
// refused as invalid schemas. Logical types may not change, see [schema.Compatible]; Confluent's
// registry does not check them.
//
// No other schema is registered during a check, and a check of a schema with hundreds of levels
// takes a second or two. Use this registry only for your own schemas.
//
// # How it fails
//
// [Open] cuts off an incomplete last line of the journal, which was never acknowledged. It refuses
// any other damage, naming file and line. If the journal cannot be written, the registry refuses
// all further writes and [Run] returns the error: the contents of the disk are then known only
// after reading it again.
package registry

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"eventshop.example/pkg/schema"
)

// Registry stores schemas. Create it with [Open] or [OpenTopic]. It is safe for concurrent use. It
// changes when a schema is registered or a level is set.
type Registry struct {
	// writing is locked from the check of a change to its effect, so that of two equal or
	// conflicting changes the second sees the first.
	writing sync.Mutex
	journal journal

	breakable breakable

	// mu protects the following fields for readers, which do not have to wait for the disk. It is
	// locked for writing only while writing is locked.
	mu       sync.RWMutex
	schemas  []string                // as first registered; the id is the index + 1
	ids      map[string]int          // by canonical form
	subjects map[string][]int        // ids; the version is the index + 1
	levels   map[string]schema.Level // of subjects that have their own
	global   schema.Level
}

// version is one version of a subject, in the API's JSON.
type version struct {
	Subject string `json:"subject"`
	ID      int    `json:"id"`
	Version int    `json:"version"`
	Schema  string `json:"schema"`
}

// use is one place where a schema is registered, in the API's JSON.
type use struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// Open reads the registry in a folder, which is created if missing and belongs to this registry
// until [Registry.Close].
func Open(dataDir string) (*Registry, error) {
	r := empty()
	j, err := openFile(dataDir, r.replay)
	if err != nil {
		return nil, fmt.Errorf("open schema registry: %w", err)
	}
	r.journal = j
	return r, nil
}

// OpenTopic reads the registry in a topic, which is created if missing. It waits for Kafka until
// ctx ends. If two registries use one topic, the first to write after the other has written fails
// as if it could not write. Opened again, it has what both wrote.
func OpenTopic(ctx context.Context, t Topic) (*Registry, error) {
	r := empty()
	j, err := openTopic(ctx, t, r.replay)
	if err != nil {
		return nil, fmt.Errorf("open schema registry: %w", err)
	}
	r.journal = j
	return r, nil
}

func empty() *Registry {
	return &Registry{
		ids:      map[string]int{},
		subjects: map[string][]int{},
		levels:   map[string]schema.Level{},
		global:   schema.Backward,
	}
}

// Close releases the folder or topic. Writes are refused from then on.
func (r *Registry) Close() error {
	r.writing.Lock()
	defer r.writing.Unlock()
	return r.journal.close()
}

// replay checks an entry of the journal against those before it and applies it.
func (r *Registry) replay(e entry) error {
	switch {
	case e.Kind == kindLevel:
		if !e.Level.Valid() {
			return fmt.Errorf("unknown compatibility level %q", e.Level)
		}
	case e.Kind != kindVersion:
		return fmt.Errorf("unknown kind of entry %q", e.Kind)
	case e.Version != len(r.subjects[e.Subject])+1:
		return overtaken(fmt.Sprintf("version %d of %s follows version %d", e.Version, e.Subject, len(r.subjects[e.Subject])))
	case e.ID < 1 || e.ID > len(r.schemas)+1 || e.Schema != "" && e.ID <= len(r.schemas):
		return overtaken(fmt.Sprintf("schema id %d follows id %d", e.ID, len(r.schemas)))
	case e.ID == len(r.schemas)+1:
		canonical, err := schema.Canonical(e.Schema)
		if err != nil {
			return fmt.Errorf("schema id %d: %w", e.ID, err)
		}
		e.canonical = canonical
	}
	r.apply(e)
	return nil
}

// write makes an entry durable and then visible. The caller has locked r.writing.
func (r *Registry) write(e entry) error {
	if err := r.journal.append(e); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.apply(e)
	return nil
}

func (r *Registry) apply(e entry) {
	switch {
	case e.Kind == kindVersion:
		if e.ID > len(r.schemas) {
			r.schemas = append(r.schemas, e.Schema)
			r.ids[e.canonical] = e.ID
		}
		r.subjects[e.Subject] = append(r.subjects[e.Subject], e.ID)
	case e.Subject == "":
		r.global = e.Level
	default:
		r.levels[e.Subject] = e.Level
	}
}

// register makes text the newest version of a subject, unless it is already one of its versions. It
// returns the id of the schema.
func (r *Registry) register(subject, text string) (int, error) {
	canonical, err := schema.Canonical(text)
	if err != nil {
		return 0, invalidSchema(err)
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	// No lock of mu: no other goroutine can change these fields now.
	id, known := r.ids[canonical]
	if known && slices.Contains(r.subjects[subject], id) {
		return id, nil
	}
	level := r.level(subject)
	if reasons := check(level, text, r.versionsOf(subject)); len(reasons) > 0 {
		return 0, incompatible(subject, level, reasons)
	}
	e := entry{Kind: kindVersion, Subject: subject, Version: len(r.subjects[subject]) + 1, ID: id, canonical: canonical}
	if !known {
		e.ID, e.Schema = len(r.schemas)+1, text
	}
	if err := r.write(e); err != nil {
		return 0, err
	}
	return e.ID, nil
}

// lookUp finds the version of a subject that has this schema.
func (r *Registry) lookUp(subject, text string) (version, error) {
	canonical, err := schema.Canonical(text)
	if err != nil {
		return version{}, invalidSchema(err)
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	ids := r.subjects[subject]
	if len(ids) == 0 {
		return version{}, subjectNotFound(subject)
	}
	i := slices.Index(ids, r.ids[canonical])
	if i < 0 {
		return version{}, schemaNotFound("of this text in subject " + subject)
	}
	return r.versionsOf(subject)[i], nil
}

// version returns one version of a subject, the newest for the number latest.
func (r *Registry) version(subject string, number int) (version, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	versions := r.versionsOf(subject)
	if number == latest {
		number = len(versions)
	}
	switch {
	case len(versions) == 0:
		return version{}, subjectNotFound(subject)
	case number > len(versions):
		return version{}, versionNotFound(subject, number)
	}
	return versions[number-1], nil
}

// versions returns all versions of a subject, oldest first.
func (r *Registry) versions(subject string) ([]version, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	versions := r.versionsOf(subject)
	if len(versions) == 0 {
		return nil, subjectNotFound(subject)
	}
	return versions, nil
}

// versionsOf requires a lock of mu or writing.
func (r *Registry) versionsOf(subject string) []version {
	ids := r.subjects[subject]
	versions := make([]version, len(ids))
	for i, id := range ids {
		versions[i] = version{Subject: subject, ID: id, Version: i + 1, Schema: r.schemas[id-1]}
	}
	return versions
}

// schemaByID returns the text of a schema and all its uses, by subject.
func (r *Registry) schemaByID(id int) (text string, uses []use, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if id < 1 || id > len(r.schemas) {
		return "", nil, schemaNotFound(fmt.Sprintf("with id %d", id))
	}
	for _, subject := range r.subjectNames() {
		if i := slices.Index(r.subjects[subject], id); i >= 0 {
			uses = append(uses, use{Subject: subject, Version: i + 1})
		}
	}
	return r.schemas[id-1], uses, nil
}

// subjectNames requires a lock of mu.
func (r *Registry) subjectNames() []string {
	names := make([]string, 0, len(r.subjects)) // an empty list is [] in JSON, not null
	for name := range r.subjects {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// level returns the level at which a subject's versions are checked. It requires a lock of mu or
// writing.
func (r *Registry) level(subject string) schema.Level {
	if own, ok := r.levels[subject]; ok {
		return own
	}
	return r.global
}

// setLevel sets the level of a subject, or the global level for the subject "".
func (r *Registry) setLevel(subject string, level schema.Level) error {
	if !level.Valid() {
		return invalidLevel(string(level))
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	if own, ok := r.levels[subject]; ok && own == level || subject == "" && r.global == level {
		return nil // every start of a service sets it, which should not grow the journal
	}
	return r.write(entry{Kind: kindLevel, Subject: subject, Level: level})
}
