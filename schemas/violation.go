package schemas

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"essworker/internal/mask"
)

// Violation says why data was refused: one rule it breaks, the one furthest inside
// the data if it breaks several. No value of the data stands in any of its texts,
// so they may be shown anywhere.
type Violation struct {
	Path    string // JSON pointer to the place; empty is the data as a whole
	Rule    string // the rule broken, in words: "must be 1 to 64 letters and digits (A-Z, a-z, 0-9)"
	Message string // the whole sentence, with the path and what is there instead
}

// Error gives Message.
func (v *Violation) Error() string { return v.Message }

// violation makes the sentence of what breaks the rule at path. Where found is
// empty, the rule itself says it all.
func violation(path, rule, found string) *Violation {
	message := cmp.Or(found, rule)
	if path != "" {
		message = path + ": " + message
	} else if strings.HasPrefix(message, "must ") {
		message = "the data " + message
	}
	return &Violation{Path: path, Rule: rule, Message: message}
}

// breach is one reason among those the validator gives, with its place in the
// order of usefulness.
type breach struct {
	depth, rank int
	*Violation
}

// explain chooses the most useful of the reasons in err: the deepest, since what is
// wrong inside a value tells more than that the value is wrong; among equals the
// plainest kind. The validator walks maps, so its own order changes from call to
// call; this one does not.
func (c *catalog) explain(err *jsonschema.ValidationError) *Violation {
	breaches := c.breaches(nil, err)
	best := slices.MinFunc(breaches, func(a, b breach) int {
		return cmp.Or(
			-cmp.Compare(a.depth, b.depth),
			cmp.Compare(a.rank, b.rank),
			strings.Compare(a.Path, b.Path),
			strings.Compare(a.Message, b.Message),
		)
	})
	return best.Violation
}

// breaches adds the reasons at the ends of err's tree.
func (c *catalog) breaches(found []breach, err *jsonschema.ValidationError) []breach {
	for _, cause := range err.Causes {
		found = c.breaches(found, cause)
	}
	if len(err.Causes) > 0 {
		return found
	}
	rank, rule, there := words(err)
	if rank >= rankLimit {
		if said, ok := c.source(err.SchemaURL)["x-rule"].(string); ok {
			rule = said
		}
	}
	return append(found, breach{len(err.InstanceLocation), rank, violation(pointer(err.InstanceLocation), rule, there)})
}

// The kinds of breach, plainest first. From rankLimit on the schema's own words, if
// it has some, stand for the rule.
const (
	rankRequired = iota
	rankUnknown
	rankType
	rankTwice
	rankLimit
	rankOther
)

// words gives the rule that was broken, and what is there instead where the rule
// alone does not tell.
func words(err *jsonschema.ValidationError) (rank int, rule, there string) {
	switch k := err.ErrorKind.(type) {
	case *kind.Required:
		name := strconv.Quote(k.Missing[0])
		return rankRequired, "must have the field " + name, "the field " + name + " is missing"
	case *kind.AdditionalProperties:
		return rankUnknown, "must have no fields but those the schema lists", fmt.Sprintf("the field %q is not known here", mask.Name(slices.Min(k.Properties)))
	case *kind.Type:
		rule := "must be " + strings.Join(articles(k.Want), " or ")
		if k.Got == "null" && len(err.InstanceLocation) > 0 {
			return rankType, rule, rule + ", not null; a field without a value is left out"
		}
		return rankType, rule, rule + ", not " + articles([]string{k.Got})[0]
	case *kind.Enum:
		return rankLimit, "must be one of " + list(k.Want), ""
	case *kind.Const:
		return rankLimit, "must be " + list([]any{k.Want}), ""
	case *kind.UniqueItems:
		return rankTwice, "must not have the same entry twice", fmt.Sprintf("the entries %d and %d are the same", k.Duplicates[0], k.Duplicates[1])
	case *kind.MinLength:
		return rankLimit, fmt.Sprintf("must have at least %d characters", k.Want), ""
	case *kind.MaxLength:
		return rankLimit, fmt.Sprintf("must have at most %d characters", k.Want), ""
	case *kind.MinItems:
		return rankLimit, fmt.Sprintf("must have at least %d entries", k.Want), ""
	case *kind.MaxItems:
		return rankLimit, fmt.Sprintf("must have at most %d entries", k.Want), ""
	case *kind.Minimum:
		return rankLimit, "must be at least " + k.Want.RatString(), ""
	case *kind.Pattern:
		return rankLimit, "must match the pattern " + k.Want, ""
	case *kind.Format:
		return rankLimit, "must be of the format " + k.Want, ""
	default:
		return rankOther, "must keep to the schema's " + strings.Join(err.ErrorKind.KeywordPath(), " "), ""
	}
}

// source gives the part of a schema file that url points to: an $id and a JSON
// pointer. It is nil if there is none.
func (c *catalog) source(location string) map[string]any {
	id, fragment, _ := strings.Cut(location, "#")
	node := c.sources[id]
	for step := range strings.SplitSeq(strings.TrimPrefix(fragment, "/"), "/") {
		if step == "" {
			continue
		}
		if plain, err := url.PathUnescape(step); err == nil {
			step = strings.NewReplacer("~1", "/", "~0", "~").Replace(plain)
		}
		switch parent := node.(type) {
		case map[string]any:
			node = parent[step]
		case []any:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(parent) {
				node = parent[i]
			}
		}
	}
	found, _ := node.(map[string]any)
	return found
}

func articles(types []string) []string {
	named := make([]string, len(types))
	for i, t := range types {
		switch t {
		case "array", "object", "integer":
			named[i] = "an " + t
		case "null":
			named[i] = t
		default:
			named[i] = "a " + t
		}
	}
	return named
}

// list quotes values of a schema.
func list(values []any) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return strings.Join(quoted, ", ")
}
