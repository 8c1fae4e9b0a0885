"""How the avatars of src/visavis/avatars are made: `tools/avatars/build [NAME...] --out FOLDER`."""
