"""Parts of Visavis in processes and on machines of their own."""
