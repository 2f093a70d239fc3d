package gguf

// Get is the value of a key, if the file has it.
func (f *File) Get(key string) (Value, bool) {
	v, ok := f.values[key]
	return v, ok
}

// get is the common form of the typed getters below: the value, whether the key is there, and an error that names the file,
// the key, the kind found and the type wanted if the value has another type or does not fit.
func get[T any](f *File, key string, as func(Value) (T, error)) (T, bool, error) {
	v, found := f.values[key]
	if !found {
		var none T
		return none, false, nil
	}
	x, err := as(v)
	return x, true, err
}

// Uint is the value of an integer key of any width; a negative one is an error.
func (f *File) Uint(key string) (uint64, bool, error) { return get(f, key, Value.Uint) }

// Int is the value of an integer key of any width; one beyond int64 is an error.
func (f *File) Int(key string) (int64, bool, error) { return get(f, key, Value.Int) }

// Float is the value of a float32 or float64 key.
func (f *File) Float(key string) (float64, bool, error) { return get(f, key, Value.Float) }

// Bool is the value of a bool key.
func (f *File) Bool(key string) (bool, bool, error) { return get(f, key, Value.Bool) }

// Str is a copy of the value of a string key.
func (f *File) Str(key string) (string, bool, error) { return get(f, key, Value.Str) }

// Array is the value of an array key.
func (f *File) Array(key string) (Array, bool, error) { return get(f, key, Value.Array) }
