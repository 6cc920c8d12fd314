package sample_test

import (
	"path/filepath"
	"slices"
	"testing"

	"eventshop.example/pkg/event/sample"
)

// TestEverySchemaHasItsPlace: each schema file is a type of the catalogue, on a declared topic.
func TestEverySchemaHasItsPlace(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("schemas", "*.avsc"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d schemas, %v", len(files), err)
	}
	types := sample.Catalogue().Types()
	if len(types) != len(files) {
		t.Errorf("%d types for %d schemas", len(types), len(files))
	}
	var topics []string
	for _, topic := range sample.Topics() {
		topics = append(topics, topic.Name)
	}
	for _, typ := range types {
		if !slices.Contains(topics, typ.Topic) {
			t.Errorf("%s goes to %s, which is not declared", typ.Name, typ.Topic)
		}
	}
}
